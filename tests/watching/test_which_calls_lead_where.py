"""Which calls lead to which, and what is said where that is not known."""

import pytest
import torch
import torch.utils.checkpoint
from token_models import CHANGES, WORDS, ByHand, attention, looked
from torch import nn
from watched_models import IMAGE, SMALL, peaked

from jumok.attention import Patches, Scale
from jumok.errors import JumokError
from jumok.watching.provenance.pictures import TracedPixels
from jumok.watching.watch import watch

transformers = pytest.importorskip("transformers")


class Parallel(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.blocks = nn.ModuleList([nn.ModuleList([attention(), attention()]) for _ in range(2)])
        self.head = nn.Linear(16, 2)

    def forward(self, pixels):
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        for one, two in self.blocks:
            x = x + one(x, x, x)[0] + two(x, x, x)[0]
        return self.head(x[:, 0])


def test_attention_side_by_side_adds():
    """Chefer et al. 2021, eq. 6 for both calls of a block from the same R."""
    torch.manual_seed(0)
    model = Parallel().eval()
    pixels = torch.randn(2, 3, 32, 32)
    with watch(model) as seen:
        target = model(pixels)[:, 1]
    gains, plain = [], []
    for name, traced in zip(seen.names, [call.attended for call in seen._calls], strict=True):
        (gradient,) = torch.autograd.grad(target.sum(), traced.traced, retain_graph=True)
        gains.append(traced.relevant(gradient))
        plain.append(seen[name].weights.mean(1))
    right, rolled = torch.eye(16).expand(2, -1, -1), torch.eye(16).expand(2, -1, -1)
    for number in (0, 2):
        right = right + (gains[number] + gains[number + 1]) @ right
        rolled = (0.5 * torch.eye(16) + 0.25 * (plain[number] + plain[number + 1])) @ rolled
    torch.testing.assert_close(seen.relevance(target, 0).weights[:, 0], right[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(seen.rollout(5).weights[:, 0], rolled[:, 5], atol=1e-6, rtol=1e-5)


def test_two_passes_through_one_tower_stay_apart():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.vit = transformers.ViTModel(transformers.ViTConfig(**IMAGE))

        def forward(self, first, second):
            return self.vit(first).last_hidden_state[:, 0] - self.vit(second).last_hidden_state[:, 0]

    model = peaked(Pair())
    first, second = torch.randn(2, 1, 3, 32, 32)
    both = looked(model, first, second)
    with pytest.raises(JumokError, match="not one chain"):
        both.rollout((1, 2))
    for image, end in ((first, "vit.layers.2.attention"), (second, "vit.layers.2.attention@2")):
        alone = looked(model.vit, image).rollout((1, 2)).weights
        torch.testing.assert_close(both.rollout((1, 2), end=end).weights, alone)


class TwoScales(nn.Module):
    """An image in two patch sizes, each with a class token, which at the end looks at the other's patches."""

    def __init__(self):
        super().__init__()
        self.cls_token_0, self.cls_token_1 = (nn.Parameter(torch.randn(1, 1, 16)) for _ in range(2))
        self.patches = nn.ModuleList([nn.Conv2d(3, 16, side, side) for side in (8, 16)])
        self.blocks = nn.ModuleList([attention(), attention()])
        self.fusion = nn.ModuleList([attention(), attention()])

    def forward(self, pixels):
        streams = []
        for cls, patches, block in zip((self.cls_token_0, self.cls_token_1), self.patches, self.blocks, strict=True):
            x = torch.cat([cls.expand(len(pixels), -1, -1), patches(pixels).flatten(2).transpose(1, 2)], 1)
            streams.append(x + block(x, x, x)[0])
        answers = []
        for fusion, own, other in zip(self.fusion, streams, streams[::-1], strict=True):
            asked = own[:, :1]
            seen = torch.cat([asked, other[:, 1:]], 1)
            answers.append(asked + fusion(asked, seen, seen)[0])
        return sum(answers)[:, 0]


def test_each_of_two_streams_has_a_class_token_of_its_own():
    model = peaked(TwoScales())
    seen = looked(model, torch.randn(2, 3, 32, 32))
    with pytest.raises(JumokError, match="end=NAME"):
        seen.rollout("cls")
    for number in (0, 1):
        found, own = seen.rollout("cls", end=f"fusion.{number}"), seen[f"blocks.{number}"].weights.mean(1)[:, 0, 0]
        assert found.keys == Patches(4, 4, ("cls_token_0", "cls_token_1"))
        torch.testing.assert_close(found.weights.sum(-1), torch.ones(2, 1))
        itself = 0.5 + 0.5 * seen[f"fusion.{number}"].weights.mean(1)[:, 0, 0]  # the rest is the other's patches'
        torch.testing.assert_close(found.weights[:, 0, number], itself * (0.5 + 0.5 * own))


def test_two_towers_stay_apart():
    text = {**SMALL, **WORDS, "max_position_embeddings": 77}
    model = peaked(
        transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=IMAGE, projection_dim=16))
    )
    ids = torch.randint(2, 48, (3, 17))
    seen = looked(model, input_ids=ids, pixel_values=torch.randn(2, 3, 32, 32))
    with pytest.raises(JumokError, match="not one chain"):
        seen.rollout("mean")
    assert seen.only("vision_model").rollout("mean").weights.shape == (2, 1, 17)
    assert seen.only("text_model").rollout("mean").weights.shape == (3, 1, 17)


class Hybrid(nn.Module):
    """A convolution between two layers of attention."""

    def __init__(self, **conv):
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 8, 8)
        self.first, self.last = attention(), attention()
        self.between = nn.Conv2d(16, 16, **conv)

    def forward(self, pixels):
        x = self.embed(pixels)
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.first(tokens, tokens, tokens)[0]
        x = self.between(tokens.transpose(1, 2).unflatten(2, x.shape[2:]))
        tokens = x.flatten(2).transpose(1, 2)
        return tokens + self.last(tokens, tokens, tokens)[0]


def test_what_mixes_tokens_unseen_is_named_and_its_share_is_told():
    seen = looked(Hybrid(kernel_size=3, padding=1), torch.randn(1, 3, 32, 32))
    with pytest.raises(JumokError, match=r"a convolution in between.*partial=True"):
        seen.rollout((0, 0))
    found = seen.rollout((0, 0), partial=True)
    assert "100% through a convolution in between, unseen" in found.source
    torch.testing.assert_close(found.weights.sum(), torch.tensor(1.0))


def average_windows():
    """Each of 4 x 4 places as the mean of those in a window of 3 x 3."""
    rows, columns = torch.arange(16) // 4, torch.arange(16) % 4
    near = ((rows[:, None] - rows).abs() <= 1) & ((columns[:, None] - columns).abs() <= 1)
    return near / near.sum(1, keepdim=True)


def test_depthwise_convolutions_are_the_mean_of_their_window_and_say_so():
    seen = looked(Hybrid(kernel_size=3, padding=1, groups=16), torch.randn(2, 3, 32, 32))
    first, last = (0.5 * torch.eye(16) + 0.5 * seen[name].weights.mean(1) for name in ("first", "last"))
    found = seen.rollout((1, 2))
    assert found.source == "rollout, a convolution in between taken as the mean of its window(1,2)"
    torch.testing.assert_close(found.weights[:, 0], (last @ average_windows() @ first)[:, 6])


def test_a_residual_connection_past_a_depthwise_convolution_is_followed():
    """The queries come out of windows, as in MViT, and the tokens themselves are added to what was gathered."""

    class Windowed(Hybrid):
        def forward(self, pixels):
            x = self.embed(pixels)
            tokens = x.flatten(2).transpose(1, 2)
            tokens = tokens + self.first(tokens, tokens, tokens)[0]
            around = self.between(tokens.transpose(1, 2).unflatten(2, x.shape[2:])).flatten(2).transpose(1, 2)
            return tokens + self.last(around, tokens, tokens)[0]

    class Through(Windowed):
        def __init__(self):
            super().__init__(kernel_size=3, padding=1, groups=16)
            self.end = attention()

        def forward(self, pixels):
            x = super().forward(pixels)
            return x + self.end(x, x, x)[0]

    seen = looked(Through(), torch.randn(2, 3, 32, 32))
    first, last, end = (0.5 * torch.eye(16) + 0.5 * seen[name].weights.mean(1) for name in ("first", "last", "end"))
    torch.testing.assert_close(seen.rollout((1, 2)).weights[:, 0], (end @ last @ first)[:, 6])


def test_a_convolution_and_the_pooling_behind_it_are_one_stride():
    class Pooled(Hybrid):
        def __init__(self):
            super().__init__(kernel_size=3, padding=1)
            self.between = nn.Sequential(self.between, nn.MaxPool2d(2))

    seen = looked(Pooled(), torch.randn(2, 3, 32, 32))
    first, last = (0.5 * torch.eye(n) + 0.5 * seen[name].weights.mean(1) for n, name in ((16, "first"), (4, "last")))
    merge = torch.zeros(4, 16)
    for place in range(16):
        merge[place // 8 * 2 + place % 4 // 2, place] = 1 / 4
    found = seen.rollout(2)
    assert "a convolution in between.0 taken as the mean of its window" in found.source
    torch.testing.assert_close(found.weights[:, 0], (last @ merge @ average_windows() @ first)[:, 2])


@pytest.mark.parametrize("window", [nn.Conv2d(16, 16, 3, 2, 1), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(3, 2, 1)])
def test_tokens_of_windows_that_overlap_lie_in_the_cells_of_their_stride(window):
    """Where windows lie over one another, tokens that are all looked at alike would be drawn as stripes."""

    class Strided(Hybrid):
        def __init__(self):
            super().__init__(kernel_size=1)
            self.between = window

    pixels = torch.randn(2, 3, 32, 32)
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    image = torch.arange(2, dtype=torch.int32).view(2, 1, 1, 1).expand(pixels.shape)
    traced = TracedPixels(pixels, image, rows.expand(pixels.shape), columns.expand(pixels.shape), ((32, 32),) * 2)
    model = Strided().eval()
    with torch.no_grad(), watch(model, pixels=[traced]) as seen:
        model(pixels)
    first, last = (0.5 * torch.eye(n) + 0.5 * seen[name].weights.mean(1) for n, name in ((16, "first"), (4, "last")))
    place = torch.arange(4)
    near = (place - torch.tensor([0, 2])[:, None]).abs() <= 1  # of 4 places in a row, those in each of both windows
    merge = (near[:, None, :, None] & near[None, :, None, :]).reshape(4, 16).float()
    rolled = seen.rollout(2).weights[:, 0]
    torch.testing.assert_close(rolled, (last @ (merge / merge.sum(1, keepdim=True)) @ first)[:, 2])
    assert seen.of_image("last", 1).keys == Patches(2, 2)


def test_channel_gates_mix_no_places():
    class Gated(Hybrid):
        def __init__(self):
            super().__init__(kernel_size=1)
            self.between = Gate()

    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.squeeze = nn.Conv2d(16, 16, 1)

        def forward(self, x):
            return x * self.squeeze(x.mean((2, 3), keepdim=True)).sigmoid()

    seen = looked(Gated(), torch.randn(2, 3, 32, 32))
    first, last = (0.5 * torch.eye(16) + 0.5 * seen[name].weights.mean(1) for name in ("first", "last"))
    torch.testing.assert_close(seen.rollout((1, 2)).weights[:, 0], (last @ first)[:, 6])
    assert list(seen.gates()) == ["between"]


def test_convolutions_over_words_are_named():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.first, self.last = nn.Embedding(20, 16), attention(), attention()
            self.between = nn.Conv1d(16, 16, 3, padding=1, groups=16)

        def forward(self, ids):
            x = self.embed(ids)
            x = x + self.first(x, x, x)[0]
            x = self.between(x.mT).mT
            return x + self.last(x, x, x)[0]

    seen = looked(Words(), torch.randint(0, 20, (2, 5)))
    with pytest.raises(JumokError, match=r"a convolution in between.*partial=True"):
        seen.rollout(0)


def test_places_that_are_merged_share_what_is_asked_of_them():
    seen = looked(Hybrid(kernel_size=2, stride=2), torch.randn(2, 3, 32, 32))
    assert (seen["first"].keys, seen["last"].keys) == (Patches(4, 4), Patches(2, 2))
    first, last = (0.5 * torch.eye(n) + 0.5 * seen[name].weights.mean(1) for n, name in ((16, "first"), (4, "last")))
    merge = torch.zeros(4, 16)
    for place in range(16):
        merge[place // 8 * 2 + place % 4 // 2, place] = 1 / 4
    found = seen.rollout((1, 0))
    assert found.keys == Patches(4, 4)
    torch.testing.assert_close(found.weights[:, 0], (last @ merge @ first)[:, 2])


def test_recurrent_layers_before_attention_are_named():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.rnn, self.attention = nn.Embedding(20, 16), nn.GRU(16, 16, batch_first=True), attention()

        def forward(self, ids):
            tokens = self.rnn(self.embed(ids))[0]
            return self.attention(tokens, tokens, tokens)[0]

    seen = looked(Recurrent(), torch.randint(0, 20, (2, 5)))
    with pytest.raises(JumokError, match="a recurrent layer in rnn"):
        seen.rollout(0)


def test_pyramids_of_two_grids_are_one_map():
    config = transformers.PvtConfig(
        image_size=64,
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        sequence_reduction_ratios=[4, 2, 1, 1],
    )
    seen = looked(peaked(transformers.PvtModel(config)), torch.randn(1, 3, 64, 64))
    assert (seen[0].queries, seen[0].keys) == (Patches(16, 16), Patches(4, 4))
    found = seen.rollout("cls")
    assert (found.keys.rows, found.keys.columns) == (16, 16)
    torch.testing.assert_close(found.weights.sum(), torch.tensor(1.0))


def test_weights_that_are_no_distribution_make_a_map_of_scores():
    model = ByHand(CHANGES["talking heads by a linear layer"])
    model.mix.weight.data, model.mix.bias.data = 3 * torch.eye(2), torch.zeros(2)
    seen = looked(model, torch.randn(1, 6, 16))
    with pytest.raises(JumokError, match=r"no shares of a whole .* partial=True"):
        seen.rollout(0)
    assert seen.rollout(0, partial=True).scale is Scale.SCORE
    sunk = looked(ByHand(CHANGES["a sink"]), torch.randn(1, 6, 16)).rollout(0)
    assert sunk.scale is Scale.SCORE
    assert 0.5 < float(sunk.weights.sum()) < 1


@pytest.mark.parametrize("shape", [(2, 5), (5,), (2, 1, 1)])
def test_a_target_is_one_number_per_image(shape):
    model = peaked(transformers.ViTForImageClassification(transformers.ViTConfig(**IMAGE, num_labels=5)))
    with watch(model) as seen:
        logits = model(torch.randn(2, 3, 32, 32)).logits
    target = {(2, 5): logits, (5,): logits[0], (2, 1, 1): logits[:, :1, None]}[shape]
    with pytest.raises(JumokError, match=r"one per image \(2 here\), got shape"):
        seen.relevance(target)
    assert seen.relevance(logits[:, :1]).weights.shape == (2, 1, 17)
