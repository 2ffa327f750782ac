"""What mixes tokens before or between calls of attention is named; what works on the features of a token is not."""

import pytest
import torch
from token_models import attention, looked
from torch import nn
from torch.nn import functional as F

from jumok.errors import JumokError


class Between(nn.Module):
    """Two layers of attention over words or over tokens as they are given, and something before or between them."""

    def __init__(self, change, *, words=False, before=False):
        super().__init__()
        self.words = nn.Embedding(20, 16) if words else nn.Identity()
        self.first, self.last = attention(), attention()
        self.change, self.before, self.layer = change[0], before, change[1]

    def forward(self, x):
        x = self.words(x)
        x = self.change(self.layer, x) if self.before else x
        x = x + self.first(x, x, x)[0]
        x = x if self.before else self.change(self.layer, x)
        return x + self.last(x, x, x)[0]


def over_tokens(layer, x):
    return layer(x.mT).mT


MIXED = {
    "layer_norm": (over_tokens, nn.LayerNorm(6)),
    "layer_norm: of all": (lambda m, x: m(x), nn.LayerNorm([6, 16])),
    "rms_norm": (over_tokens, nn.RMSNorm(6)),
    "group_norm": (over_tokens, nn.GroupNorm(2, 16)),
    "instance_norm": (over_tokens, nn.InstanceNorm1d(16)),
    "normalize": (lambda m, x: F.normalize(x, dim=1), None),
    "log_softmax": (lambda m, x: x.log_softmax(1), None),
    "a softmax over tokens": (lambda m, x: x.softmax(1), None),
    "a softmax over tokens: softmin": (lambda m, x: F.softmin(x, 1), None),
    "a softmax over tokens: gates": (lambda m, x: x * m(x).softmax(1), nn.Linear(16, 1)),
    "a convolution": (over_tokens, nn.Conv1d(16, 16, 3, padding=1)),
    "a product over tokens": (over_tokens, nn.Linear(6, 6)),
    "a product over tokens: of all": (lambda m, x: m(x.flatten(1)).view_as(x), nn.Linear(96, 96)),
    "a product over tokens: einsum": (lambda m, x: torch.einsum("ts,bsd->btd", m.weight, x), nn.Linear(6, 6)),
    "sort": (lambda m, x: x.sort(1).values, None),
    "fft_fft2": (lambda m, x: torch.fft.fft2(x).real, None),
    "a product of a token with what others gave": (lambda m, x: F.glu(torch.cat([x, x.flip(1)], 1), 1), None),
}
KEPT = {
    "norm of features": (lambda m, x: m(x), nn.LayerNorm(16)),
    "softmax of features": (lambda m, x: x.softmax(-1), None),
    "groups of features": (lambda m, x: m(x.flatten(0, 1)).view_as(x), nn.GroupNorm(2, 16)),
    "running statistics": (over_tokens, nn.BatchNorm1d(16)),
    "spectrum of features": (lambda m, x: torch.fft.fft(x).real, None),
    "gated features": (lambda m, x: F.glu(m(x)), nn.Linear(16, 32)),
}


@pytest.mark.parametrize("way", MIXED)
@pytest.mark.parametrize("before", [False, True])
def test_what_mixes_tokens_is_named(way, before):
    seen = looked(Between(MIXED[way], words=True, before=before), torch.randint(0, 20, (2, 6)))
    with pytest.raises(JumokError, match=f"{way.partition(':')[0]}.*partial=True"):
        seen.rollout(1)
    assert "100% through" in seen.rollout(1, partial=True).source
    assert seen[1].keys.labels() == ["0", "1", "2", "3", "4", "5"] or "0-5" in seen[1].keys.labels()[0]


@pytest.mark.parametrize("way", KEPT)
def test_what_works_on_features_mixes_no_tokens(way):
    seen = looked(Between(KEPT[way], words=True), torch.randint(0, 20, (2, 6)))
    first, last = (0.5 * torch.eye(6) + 0.5 * seen[number].weights.mean(1) for number in (0, 1))
    torch.testing.assert_close(seen.rollout(1).weights[:, 0], (last @ first)[:, 1], atol=1e-6, rtol=1e-5)


def test_a_convolution_over_tokens_as_they_were_given_is_named():
    seen = looked(Between(MIXED["a convolution"], before=True), torch.randn(2, 6, 16))
    with pytest.raises(JumokError, match="a convolution in layer"):
        seen.rollout(1)


def test_a_norm_over_the_features_of_tokens_that_are_merged_mixes_no_others():
    class Merging(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = attention(), attention()
            self.norm, self.reduce = nn.LayerNorm(32), nn.Linear(32, 16)

        def forward(self, x):
            x = x + self.first(x, x, x)[0]
            x = self.reduce(self.norm(torch.cat([x[:, ::2], x[:, 1::2]], -1)))
            return x + self.last(x, x, x)[0]

    seen = looked(Merging(), torch.randn(2, 6, 16))
    first, last = (0.5 * torch.eye(n) + 0.5 * seen[k].weights.mean(1) for k, n in ((0, 6), (1, 3)))
    merge = 0.5 * torch.eye(3).repeat_interleave(2, 1)
    torch.testing.assert_close(seen.rollout(1).weights[:, 0], (last @ merge @ first)[:, 1], atol=1e-6, rtol=1e-5)
    assert seen[1].keys.labels() == ["0-1", "2-3", "4-5"]
