"""What a token stands for: known from where it went, not from counts."""

import pytest
import torch
import torch.utils.checkpoint
from token_models import WORDS, Image, attention, looked
from torch import nn
from torch.nn import functional as F
from watched_models import IMAGE, SMALL, peaked

from jumok.attention import Patches, Regions, Tokens
from jumok.errors import JumokError
from jumok.watching.watch import watch

transformers = pytest.importorskip("transformers")


def test_each_image_has_its_own_grid():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 16, 8, 8)
            self.wide, self.tall = attention(), attention()

        def forward(self, wide, tall):
            wide, tall = (self.patches(image).flatten(2).transpose(1, 2) for image in (wide, tall))
            return self.wide(wide, wide, wide)[0], self.tall(tall, tall, tall)[0]

    seen = looked(Two(), torch.randn(1, 3, 32, 64), torch.randn(1, 3, 64, 32))
    assert seen.axes("wide")[1] == Patches(4, 8)
    assert seen.axes("tall")[1] == Patches(8, 4)


def test_words_are_words_even_where_there_are_as_many_patches():
    config = transformers.SiglipConfig(
        text_config={**SMALL, **WORDS, "max_position_embeddings": 64}, vision_config=IMAGE
    )
    ids = torch.randint(2, 48, (1, 16))
    seen = looked(transformers.SiglipModel(config), input_ids=ids, pixel_values=torch.randn(1, 3, 32, 32))
    assert isinstance(seen.axes("text_model.encoder.layers.0.self_attn")[1], Tokens)
    assert seen.axes("vision_model.encoder.layers.0.self_attn")[1] == Patches(4, 4)


def test_shuffled_patches_lie_where_they_came_from():
    model = peaked(transformers.ViTMAEModel(transformers.ViTMAEConfig(**IMAGE, mask_ratio=0.0)))
    pixels = torch.randn(1, 3, 32, 32)
    shuffled = looked(model, pixels, noise=torch.rand(1, 16))[0].at(batch=0).mean("head").row("cls")
    ordered = looked(model, pixels, noise=torch.arange(16.0)[None])[0].at(batch=0).mean("head").row("cls")
    assert isinstance(shuffled.keys, Regions)
    assert isinstance(ordered.keys, Patches)
    torch.testing.assert_close(shuffled.image(32, 32), ordered.image(32, 32))


def test_dropped_patches_leave_holes():
    seen = looked(Image(lambda tokens: tokens[:, [3, 0, 9]]), torch.randn(2, 3, 32, 32))
    axis = seen[0].keys
    assert axis.labels() == ["0,2", "0,0", "1,1"]  # rows and columns of those that are left
    assert axis.boxes == ((0, 24, 8, 32), (0, 0, 8, 8), (16, 8, 24, 16))
    assert seen[0].at(batch=0).mean("head").image(32, 32)[..., 31, 31].eq(0).all()


def test_each_image_of_a_batch_may_have_its_own_places():
    order = torch.stack([torch.randperm(16), torch.randperm(16)])
    model = Image(lambda tokens: tokens.gather(1, order[..., None].expand(-1, -1, 16)))
    seen = looked(model, torch.randn(2, 3, 32, 32))
    assert "places of its own" in seen[0].keys.why
    for number, found in enumerate(seen.of_images(0)):
        boxes = [(8 * (n // 4), 8 * (n % 4), 8 * (n // 4) + 8, 8 * (n % 4) + 8) for n in order[number].tolist()]
        assert found.keys.boxes == tuple(boxes)


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_any_number_of_bands(channels):
    assert looked(Image(channels=channels), torch.randn(1, channels, 32, 48))[0].keys == Patches(4, 6)


def test_registers_behind_the_patches():
    registers = nn.Parameter(torch.randn(1, 2, 16))

    class Behind(Image):
        def __init__(self):
            super().__init__(lambda tokens: torch.cat([tokens, self.reg_tokens.expand(len(tokens), -1, -1)], 1))
            self.reg_tokens = registers

    axis = looked(Behind(), torch.randn(2, 3, 32, 32))[0].keys
    assert axis.labels()[-2:] == ["reg1", "reg2"]
    assert axis.boxes[-2:] == (None, None)
    assert axis.boxes[5] == (8, 8, 16, 16)


def test_learnt_queries_look_at_the_image():
    class Pool(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv2d(3, 16, 8, 8)
            self.query_tokens = nn.Parameter(torch.randn(1, 3, 16))
            self.attention = attention()

        def forward(self, pixels):
            tokens = self.embed(pixels).flatten(2).transpose(1, 2)
            return self.attention(self.query_tokens.expand(len(tokens), -1, -1), tokens, tokens)[0]

    seen = looked(Pool(), torch.randn(2, 3, 32, 32))
    assert (seen[0].queries.labels(), seen[0].keys) == (["query1", "query2", "query3"], Patches(4, 4))
    rolled = seen.rollout(1)
    wanted = seen[0].weights.mean(1)[:, 1]  # the learnt queries are not added to what they gather
    torch.testing.assert_close(rolled.weights[:, 0, 3:], wanted)
    assert rolled.keys == Patches(4, 4, special=("query1", "query2", "query3"))


def test_moments_of_a_video():
    class Video(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv3d(3, 16, (2, 8, 8), (2, 8, 8))
            self.attention = attention()

        def forward(self, frames):
            tokens = self.embed(frames).flatten(2).transpose(1, 2)
            return self.attention(tokens, tokens, tokens)[0]

    axis = looked(Video(), torch.randn(1, 3, 4, 16, 16))[0].keys
    assert not axis.in_image
    assert axis.labels() == ["0:0,0", "0:0,8", "0:8,0", "0:8,8", "2:0,0", "2:0,8", "2:8,0", "2:8,8"]


def test_several_images_in_one_sequence_are_not_laid_over_one():
    model = Image(lambda tokens: tokens.reshape(1, -1, 16))
    axis = looked(model, torch.randn(2, 3, 32, 32))[0].keys
    assert not axis.in_image
    assert axis.why == "tokens of several images"


def test_the_tokens_of_several_images_are_named_by_image_and_place():
    model = Image(lambda tokens: tokens.reshape(1, -1, 16))
    axis = looked(model, torch.randn(2, 3, 32, 32))[0].keys
    assert axis.labels()[:2] + axis.labels()[-1:] == ["0:0,0", "0:0,8", "1:24,24"]


class Captioned(Image):
    """Words with an image between them."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20, 16)

    def forward(self, ids, pixels):
        words = self.words(ids)
        places = self.embed(pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat([words[:, :2], places, words[:, 2:]], 1)
        return self.attention(tokens, tokens, tokens)[0]


def test_an_image_between_words_lies_in_the_image_and_the_words_do_not():
    seen = looked(Captioned(), torch.randint(0, 20, (2, 5)), torch.randn(2, 3, 32, 32))
    axis = seen[0].keys
    assert isinstance(axis, Regions)
    assert [axis.box(number, 32, 32) for number in (1, 2, 7, 18)] == [None, (0, 0, 8, 8), (8, 8, 16, 16), None]
    assert [axis.label(number) for number in (1, 2, 7, 18)] == ["1", "0,0", "1,1", "18"]
    spread = axis.spread(torch.ones(21), 32, 32)
    torch.testing.assert_close(spread, torch.ones(32, 32))


def test_words_beside_rows_of_another_input_are_told_apart_by_name():
    class Beside(Captioned):
        def forward(self, ids, rows):
            tokens = torch.cat([self.words(ids), rows], 1)
            return self.attention(tokens, tokens, tokens)[0]

    axis = looked(Beside(), torch.randint(0, 20, (2, 2)), torch.randn(2, 3, 16))[0].keys
    assert axis.why == "tokens of several inputs"
    numbers = {label.partition(":")[0] for label in axis.labels()[2:]}
    assert axis.labels()[:2] == ["0", "1"]
    assert [label.partition(":")[2] for label in axis.labels()[2:]] == ["0", "1", "2"]
    assert len(numbers) == 1


def test_one_window_is_shown_with_its_places():
    class Windows(Image):
        def forward(self, pixels):
            x = self.embed(pixels).unflatten(2, (2, 2)).unflatten(4, (2, 2))  # (batch, features, up, in, left, in)
            x = x.permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, 16)
            return self.attention(x, x, x)[0]

    seen = looked(Windows(), torch.randn(3, 3, 32, 32))
    assert "seen.of_window" in seen[0].keys.why
    found = seen.of_window("attention", 1, 2)
    assert [found.keys.box(number, 32, 32) for number in (0, 3)] == [(16, 0, 24, 8), (24, 8, 32, 16)]
    torch.testing.assert_close(found.weights, seen[0].weights[1, 2])
    with pytest.raises(JumokError, match="window"):
        seen.of_window("attention", 1, 4)
    whole = looked(Image(), torch.randn(1, 3, 32, 32))
    with pytest.raises(JumokError, match=r"whole images: read them with seen.of_image"):
        whole.of_window(0, 0, 0)


def test_sizes_that_are_tensors_are_read():
    def change(tokens):
        rows = torch.tensor(4)
        grid = F.pad(tokens.mT.unflatten(2, (4, 4)), [0, 0, 0, 8 - rows])
        return torch.cat(grid.split([rows, rows], 2)[:1], 2).flatten(2).mT

    assert looked(Image(change), torch.randn(1, 3, 32, 32))[0].keys == Patches(4, 4)


def test_an_operation_that_is_not_known_loses_the_places_and_says_so():
    model = Image(lambda tokens: torch.linalg.pinv(tokens).mT)
    seen = looked(model, torch.randn(1, 3, 32, 32))
    assert "linalg_pinv" in seen[0].keys.why
    with pytest.raises(JumokError, match=r"lost .*linalg_pinv"):
        seen.rollout(0)


def test_what_was_made_where_nothing_was_seen_is_named():
    seen = looked(Image(lambda tokens: torch.from_numpy(2 * tokens.numpy())), torch.randn(1, 3, 32, 32))
    assert "not seen" in seen[0].keys.why


READY = {
    "requires_grad_": lambda pixels: pixels.requires_grad_(),
    "detach_": lambda pixels: pixels.detach_(),
    "learned": lambda pixels: nn.Parameter(pixels).sigmoid(),
    "bytes": lambda pixels: (pixels * 255).to(torch.uint8).float() / 255,
    "one by one": lambda pixels: torch.stack([(each - each.mean()) / each.std() for each in pixels]),
    "unbound": lambda pixels: torch.stack([each * 2 for each in pixels.unbind(0)]),
    "copied": lambda pixels: torch.empty_like(pixels).copy_(pixels),
    "added": lambda pixels: torch.zeros_like(pixels).add_(pixels),
    "there and back": lambda pixels: pixels.swapaxes(2, 3).mT,
    "turned in place": lambda pixels: pixels.transpose(1, 2).contiguous().transpose_(1, 2),
    "channels last": lambda pixels: pixels.permute(0, 2, 3, 1).contiguous().transpose(1, 3).transpose(2, 3),
    "unsqueezed in place": lambda pixels: torch.cat([each.clone().unsqueeze_(0) for each in (pixels[0], pixels[1])]),
    "dropped": lambda pixels: F.dropout(pixels, 0.1),
    "normalised": lambda pixels: F.layer_norm(pixels, pixels.shape[1:]),
    "strided": lambda pixels: pixels.as_strided(pixels.shape, pixels.stride()),
}


@pytest.mark.parametrize("inside", [False, True], ids=["before the model", "by the model"])
@pytest.mark.parametrize("name", READY)
def test_an_image_that_is_made_ready_in_the_block_is_still_the_image(name, inside):
    if inside and name == "learned":
        pytest.skip("a parameter that a model makes is its own")

    class Preparing(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = Image()

        def forward(self, pixels):
            return self.model(READY[name](pixels) if inside else pixels)

    model = Preparing()
    with watch(model) as seen:
        pixels = torch.rand(2, 3, 16, 32)
        model(pixels if inside else READY[name](pixels))
    assert seen[0].keys == Patches(2, 4)


@pytest.mark.parametrize("last", [False, True])
def test_images_of_bytes_that_a_model_scales_itself(last):
    class Scaling(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = Image()

        def forward(self, pixels):
            return self.model((pixels.permute(0, 3, 1, 2) if last else pixels).float().div(255))

    pixels = torch.randint(0, 256, (2, 16, 32, 3) if last else (2, 3, 16, 32), dtype=torch.uint8)
    assert looked(Scaling(), pixels)[0].keys == Patches(2, 4)


def test_a_square_image_that_is_turned_in_place_lies_turned():
    def place(turn):
        model = Image()
        with torch.no_grad(), watch(model) as seen:
            model(turn(torch.rand(1, 3, 16, 16)))
        return seen[0].keys

    assert place(lambda pixels: pixels.clone().transpose_(2, 3)) == place(lambda pixels: pixels.transpose(2, 3))
