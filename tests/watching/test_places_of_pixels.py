"""Where tokens lie, held to the pixels that each of them depends on."""

import pytest
import torch
from token_models import attention
from torch import nn
from torch.nn import functional as F

from jumok.attention import Patches, Regions, Tokens
from jumok.watching.watch import watch


class Net(nn.Module):
    """Attention over patches, which `embed` makes of what it is given."""

    def __init__(self, embed):
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.attention, self.embed = nn.Conv2d(3, 16, 8, 8), attention(), embed

    def tokens(self, pixels):
        return self.patches(pixels).flatten(2).transpose(1, 2)

    def forward(self, pixels):
        self.x = self.embed(self, pixels)
        return self.attention(self.x, self.x, self.x)[0]


WAYS = {
    "mirrored": (lambda m, x: m.tokens(x.flip(-1)), (2, 3, 32, 32)),
    "turned": (lambda m, x: m.tokens(torch.rot90(x, 1, (2, 3))), (2, 3, 32, 32)),
    "mirrored at its edges": (lambda m, x: m.tokens(F.pad(x, (4, 4, 4, 4), mode="reflect")), (2, 3, 32, 32)),
    "padded by less than a patch": (lambda m, x: m.tokens(F.pad(x, (4, 4, 4, 4))), (2, 3, 32, 32)),
    "padded by less than a row of patches": (lambda m, x: m.tokens(F.pad(x, (3, 5, 8, 0))), (2, 3, 32, 32)),
    "grey": (lambda m, x: m.tokens(x.expand(-1, 3, -1, -1)), (2, 1, 32, 32)),
    "some bands of many": (lambda m, x: m.tokens(x[:, 2:5]), (2, 6, 32, 32)),
    "without a batch": (lambda m, x: m.patches(x).flatten(1).T[None], (3, 32, 32)),
    "one by one": (lambda m, x: torch.cat([m.tokens(each[None]) for each in x.unbind()]), (2, 3, 32, 32)),
    "pooled in windows that overlap": (
        lambda m, x: F.adaptive_avg_pool2d(m.patches(x), 3).flatten(2).transpose(1, 2),
        (2, 3, 32, 32),
    ),
}


def find_boxes(tokens, pixels):
    """(top, left, bottom, right) of the pixels that each token of the first image depends on; None for none."""
    boxes = []
    for token in tokens[0]:
        (slope,) = torch.autograd.grad(token.sum(), pixels, retain_graph=True, allow_unused=True)
        met = torch.zeros(1, 1, dtype=torch.bool) if slope is None else slope.ne(0).flatten(0, -3).any(0)
        rows, columns = met.any(1).nonzero()[:, 0], met.any(0).nonzero()[:, 0]
        edges = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) if len(rows) else None
        boxes.append(edges and tuple(int(edge) for edge in edges))
    return boxes


@pytest.mark.parametrize("name", WAYS)
def test_tokens_lie_where_their_pixels_are(name):
    embed, shape = WAYS[name]
    pixels = torch.randn(shape, requires_grad=True)
    with watch(model := Net(embed).eval()) as seen:
        model(pixels)
    keys = seen[0].keys
    assert isinstance(keys, Patches | Regions)
    assert [keys.box(number, 32, 32) for number in range(len(keys))] == find_boxes(model.x, pixels)


APART = {
    "turned round the edge": lambda m, x: m.tokens(x.roll((4, 4), (2, 3))),
    "merged with another far away": lambda m, x: (m.tokens(x)[:, :8] + m.tokens(x).flip(1)[:, :8]) / 2,
    "with the token before": lambda m, x: m.tokens(x) + F.pad(m.tokens(x), (0, 0, 1, -1)),
}


@pytest.mark.parametrize("name", APART)
def test_tokens_of_parts_that_lie_apart_are_numbered_and_say_so(name):
    with torch.no_grad(), watch(model := Net(APART[name]).eval()) as seen:
        model(torch.randn(2, 3, 32, 32))
    keys = seen[0].keys
    assert isinstance(keys, Tokens)
    assert "parts of an image that lie apart" in keys.why


@pytest.mark.parametrize("side", ["left", "right"])
def test_sequences_that_are_filled_to_the_longest(side):
    def pad(model, pixels):
        first, second = model.tokens(pixels)
        return nn.utils.rnn.pad_sequence([first, second[:9]], batch_first=True, padding_side=side)

    with torch.no_grad(), watch(model := Net(pad).eval()) as seen:
        model(torch.randn(2, 3, 32, 32))
    name = seen.names[0]
    assert seen.of_image(name, 0).keys == Patches(4, 4)
    boxes = seen.of_image(name, 1).keys.boxes
    rest, cut = (boxes[:9], boxes[9:]) if side == "right" else (boxes[7:], boxes[:7])
    assert rest[5] == (8, 8, 16, 16)
    assert set(cut) == {None}


def test_patches_of_an_image_that_was_resized_are_a_grid():
    def resize(model, pixels):
        return model.tokens(F.interpolate(pixels, (56, 56), mode="bicubic"))

    with torch.no_grad(), watch(model := Net(resize).eval()) as seen:
        model(torch.randn(2, 3, 60, 60))
    assert seen[0].keys == Patches(7, 7)
