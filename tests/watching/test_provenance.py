"""What rows and columns stand for, and which calls lead to which: known from where tokens went, not from counts."""

import pytest
import torch
import torch.utils.checkpoint
from torch import nn
from torch.nn import functional as F
from watched_models import IMAGE, SMALL, eager, peaked

from jumok.attention import Channels, Patches, Regions, Scale, Tokens
from jumok.errors import JumokError
from jumok.watching.watch import watch

transformers = pytest.importorskip("transformers")

WORDS = {"vocab_size": 50, "bos_token_id": 0, "eos_token_id": 49, "pad_token_id": 1}


def attention(**options):
    return nn.MultiheadAttention(16, 2, batch_first=True, **options)


def looked(model, *inputs, **named):
    with torch.no_grad(), watch(model.eval()) as seen:
        model(*inputs, **named)
    return seen


class Image(nn.Module):
    """Attention over patches of an image, after something was done to them."""

    def __init__(self, change=lambda tokens: tokens, channels=3, **options):
        super().__init__()
        self.embed = nn.Conv2d(channels, 16, 8, 8)
        self.attention = attention(**options)
        self.change = change

    def forward(self, pixels):
        tokens = self.change(self.embed(pixels).flatten(2).transpose(1, 2))
        return self.attention(tokens, tokens, tokens)[0]


# -- what a token stands for -----------------------------------------------------------------------


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
    wanted = 0.5 * seen[0].weights.mean(1)[:, 1]
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


# -- what is attention, and which axes are what -----------------------------------------------------


def test_tables_of_relative_positions_are_not_text():
    class Window(nn.Module):
        def __init__(self):
            super().__init__()
            self.num_heads, self.qkv, self.bias = 2, nn.Linear(16, 48), nn.Embedding(31, 2)
            self.register_buffer("places", torch.arange(16)[:, None] - torch.arange(16) + 15)

        def forward(self, x):
            q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
            weights = (q @ k.mT / 8**0.5 + self.bias(self.places).permute(2, 0, 1)).softmax(-1)
            return x + (weights @ v).transpose(1, 2).flatten(2)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 16, 4, 4)
            self.blocks = nn.Sequential(Window(), Window())

        def forward(self, pixels):
            x = self.patches(pixels).unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 4, 5, 1).reshape(-1, 16, 16)
            return self.blocks(x).mean((0, 1))

    seen = looked(Net(), torch.randn(2, 3, 32, 32))
    assert (seen[0].lead, tuple(seen[0].weights.shape[:3])) == (("batch", "window", "head"), (2, 4, 2))
    assert seen.rollout((5, 2)).keys == Patches(8, 8)


def test_heads_before_windows():
    config = transformers.HieraConfig(image_size=[64, 64], embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8])
    model = peaked(transformers.HieraModel(config))
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        right = eager(model)(pixels, output_attentions=True).attentions[1]  # (batch, head, window, queries, keys)
    found = looked(model, pixels)["encoder.stages.1.layers.0.attn"]
    assert found.lead == ("batch", "window", "head")
    torch.testing.assert_close(found.weights, right.transpose(1, 2), atol=1e-6, rtol=1e-5)


class ByHand(nn.Module):
    """Weights to which something is done between the softmax and the values."""

    def __init__(self, change):
        super().__init__()
        self.qkv, self.change, self.mix = nn.Linear(16, 48), change, nn.Linear(2, 2)

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        self.used = self.change(self, q @ k.mT)
        return x + (self.used @ v).transpose(1, 2).flatten(2)


def squared(module, scores):
    weights = scores.softmax(-1).square()
    return weights / weights.sum(-1, keepdim=True)


def with_sink(module, scores):
    return torch.cat([scores, scores.new_zeros(*scores.shape[:-1], 1)], -1).softmax(-1)[..., :-1]


CHANGES = {
    "talking heads by a linear layer": lambda m, s: m.mix(s.softmax(-1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
    "talking heads by einsum": lambda m, s: torch.einsum("bhij,hg->bgij", s.softmax(-1), m.mix.weight),
    "renormalised": squared,
    "a sink": with_sink,
    "a mask of heads": lambda m, s: s.softmax(-1) * torch.tensor([1.0, 0.0])[:, None, None],
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_weights_are_those_that_multiply_the_values(change):
    model = ByHand(CHANGES[change])
    seen = looked(model, torch.randn(2, 6, 16))
    assert seen[0].lead == ("batch", "head")
    torch.testing.assert_close(seen[0].weights, model.used)


def test_attention_between_channels_is_shown_as_channels():
    class Cross(Image):
        def forward(self, pixels):
            tokens = self.embed(pixels).flatten(2).transpose(1, 2)
            q = k = F.normalize(tokens.mT, dim=-1)
            tokens = tokens + ((q @ k.mT).softmax(-1) @ tokens.mT).mT
            return self.attention(tokens, tokens, tokens)[0]

    seen = looked(Cross(), torch.randn(1, 3, 32, 32))
    assert isinstance(seen[0].keys, Channels)
    assert seen[1].keys == Patches(4, 4)


def test_the_kernel_of_a_convolution_is_not_attention():
    config = transformers.ConvBertConfig(**SMALL, embedding_size=32, vocab_size=50)
    model = eager(peaked(transformers.ConvBertModel(config)))
    ids = torch.randint(2, 40, (2, 7))
    with torch.no_grad():
        wanted = model(ids, output_attentions=True).attentions
    seen = looked(model, ids)
    assert len(seen) == len(wanted)
    for name, weights in zip(seen.names, wanted, strict=True):
        torch.testing.assert_close(seen[name].weights, weights)
    with pytest.raises(JumokError, match="mixed by a product of tokens"):
        seen.rollout(0)


def test_experts_are_not_attention():
    class Mixture(Image):
        def __init__(self):
            super().__init__()
            self.router = nn.Linear(16, 4)
            self.experts = nn.Parameter(torch.randn(4, 16, 16))

        def forward(self, pixels):
            tokens = super().forward(pixels)
            shares = self.router(tokens).softmax(-1)
            return torch.einsum("bne,bned->bnd", shares, torch.einsum("bnd,edf->bnef", tokens, self.experts))

    assert looked(Mixture(), torch.randn(1, 3, 32, 32)).names == ["attention"]


def lay_out(rows, window):
    """Weights over six keys around two queries, as weights over all eight tokens."""
    whole = torch.zeros(*rows.shape[:-1], 12)
    whole[..., 2 * window : 2 * window + 6] = rows
    return whole[..., 2:10]


def test_windows_that_slide_are_one_map_over_all_tokens():
    config = transformers.LongformerConfig(**SMALL, attention_window=[4, 4, 4], vocab_size=50, pad_token_id=0)
    model = peaked(transformers.LongformerModel(config))
    ids = torch.randint(2, 40, (1, 8))
    with torch.no_grad():
        bands = model(ids, output_attentions=True).attentions[0]  # (batch, heads, tokens, 5): two before, two behind
    seen = looked(model, ids)
    whole = torch.zeros(4, 8, 8)
    for row in range(8):
        for step in range(5):
            if 0 <= row + step - 2 < 8:
                whole[:, row, row + step - 2] = bands[0, :, row, step]
    found = seen[0].at(batch=0)
    assert found.lead == ("window", "head")
    for window, rows in enumerate(found.weights):  # two queries each; the keys from two before to two behind them
        assert not torch.cat([rows[..., : max(0, 2 - 2 * window)], rows[..., 10 - 2 * window :]], -1).any()
        torch.testing.assert_close(lay_out(rows, window), whole[:, 2 * window : 2 * window + 2])
    layers = []
    for number in range(3):
        parts = seen[number].at(batch=0).mean("head").weights
        layers.append(0.5 * torch.eye(8) + 0.5 * torch.cat([lay_out(rows, n) for n, rows in enumerate(parts)]))
    found = seen.rollout(3)
    assert found.keys.labels()[:4] == ["constant"] * 4  # what stands beyond the ends, to which nothing looks
    assert not found.weights[..., :4].any()
    torch.testing.assert_close(found.weights[0, 0, 4:], (layers[2] @ layers[1] @ layers[0])[3])


# -- which calls lead to which ----------------------------------------------------------------------


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


# -- how a model is run ------------------------------------------------------------------------------


def rolled(model, pixels):
    with torch.no_grad():
        plain = model(pixels)
        with watch(model) as seen:
            assert torch.equal(model(pixels), plain)
    return seen.rollout((1, 2))


def test_other_parameters_by_functional_call():
    model, pixels = Image().eval(), torch.randn(2, 3, 32, 32)
    others = {name: 2 * value for name, value in model.named_parameters()}
    with torch.no_grad(), watch(model) as seen:
        torch.func.functional_call(model, others, (pixels,))
    doubled = Image().eval()
    doubled.load_state_dict(others)
    torch.testing.assert_close(seen.rollout((1, 2)).weights, rolled(doubled, pixels).weights)
    assert seen[0].keys == Patches(4, 4)


def test_int8_layers_and_data_parallel():
    model, pixels = ByHandOfImage().eval(), torch.randn(2, 3, 32, 32)
    whole = torch.ao.quantization.quantize_dynamic(ByHandOfImage().eval(), {nn.Linear}, dtype=torch.qint8)
    assert rolled(whole, pixels).keys == Patches(4, 4)
    torch.testing.assert_close(rolled(nn.DataParallel(model), pixels).weights, rolled(model, pixels).weights)


class ByHandOfImage(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.block = nn.Conv2d(3, 16, 8, 8), ByHand(lambda module, scores: scores.softmax(-1))

    def forward(self, pixels):
        return self.block(self.embed(pixels).flatten(2).transpose(1, 2))


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_blocks(reentrant):
    class Checkpointed(ByHandOfImage):
        def forward(self, pixels):
            tokens = self.embed(pixels).flatten(2).transpose(1, 2)
            return torch.utils.checkpoint.checkpoint(self.block, tokens, use_reentrant=reentrant)

    plain, model, pixels = ByHandOfImage().eval(), Checkpointed().eval(), torch.randn(2, 3, 32, 32)
    model.load_state_dict(plain.state_dict())
    with watch(model) as seen:
        target = model(pixels)[:, 0, 0]
    torch.testing.assert_close(seen.rollout((1, 2)).weights, rolled(plain, pixels).weights)
    if reentrant:
        with pytest.raises(JumokError, match="use_reentrant=False"):
            seen.relevance(target, (0, 0))
        return
    with watch(plain) as direct:
        wanted = plain(pixels)[:, 0, 0]
    torch.testing.assert_close(seen.relevance(target, (0, 0)).weights, direct.relevance(wanted, (0, 0)).weights)


def test_vmap_runs_and_what_it_hides_is_said():
    class Fused(nn.Module):
        def forward(self, tokens):
            return F.scaled_dot_product_attention(tokens, tokens, tokens)

    model, tokens = Fused(), torch.randn(3, 2, 5, 8)
    with torch.no_grad(), watch(model) as seen:
        watched = torch.func.vmap(model)(tokens)
    torch.testing.assert_close(watched, model(tokens))
    with pytest.raises(JumokError, match=r"torch.func.vmap hides"):
        seen.rollout(0)


def test_a_traced_graph_is_followed():
    class Traceable(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.query, self.key = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, pixels):
            tokens = self.embed(pixels).flatten(2).transpose(1, 2)
            return (self.query(tokens) @ self.key(tokens).transpose(1, 2)).softmax(-1) @ tokens

    model, pixels = Traceable().eval(), torch.randn(2, 3, 32, 32)
    graph = torch.fx.symbolic_trace(model)
    torch.testing.assert_close(rolled(graph, pixels).weights, rolled(model, pixels).weights)
    assert rolled(graph, pixels).keys == Patches(4, 4)


@pytest.mark.parametrize("beside", [False, True])
def test_what_is_unseen_beside_or_between_attention_of_words_is_named(beside):
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.rnn = nn.Embedding(20, 16), nn.GRU(16, 16, batch_first=True)
            self.first, self.last = attention(), attention()

        def forward(self, ids):
            x = self.embed(ids)
            if beside:
                x = x + self.first(x, x, x)[0] + self.rnn(x)[0]
            else:
                x = x + self.first(x, x, x)[0]
                x = x + self.rnn(x)[0]
            return x + self.last(x, x, x)[0]

    seen = looked(Mixed(), torch.randint(0, 20, (2, 5)))
    with pytest.raises(JumokError, match="a recurrent layer in rnn"):
        seen.rollout(0)
    first, last = (0.5 * torch.eye(5) + 0.5 * seen[name].weights.mean(1) for name in ("first", "last"))
    found = seen.rollout(2, partial=True)
    assert "100% through a recurrent layer in rnn, unseen" in found.source
    torch.testing.assert_close(found.weights[:, 0], (last @ first)[:, 2])


def test_a_pass_that_does_the_same_again_is_not_read_again():
    model, pixels = ByHandOfImage().eval(), torch.randn(2, 3, 32, 32)
    first, again = looked(model, pixels), looked(model, 2 * pixels)
    assert first[0].keys == again[0].keys == Patches(4, 4)
    assert first._axes.replay.known is again._axes.replay.known
    other = looked(model, torch.randn(2, 3, 32, 48))
    assert other[0].keys == Patches(4, 6)
    alone = ByHandOfImage().eval()
    alone.load_state_dict(model.state_dict())
    torch.testing.assert_close(again.rollout((1, 2)).weights, looked(alone, 2 * pixels).rollout((1, 2)).weights)


def test_other_places_chosen_in_the_same_way_are_read_again():
    orders = [torch.arange(16), torch.arange(16).flip(0)]
    model = Image(lambda tokens: tokens[:, orders[0]])
    pixels = torch.randn(1, 3, 32, 32)
    assert looked(model, pixels)[0].keys == Patches(4, 4)
    orders.reverse()
    assert looked(model, pixels)[0].keys.boxes[0] == (24, 24, 32, 32)


@pytest.mark.parametrize("way", ["pooled by a sigmoid", "mixed by a linear layer"])
def test_a_sum_with_what_all_tokens_gave_is_named(way):
    class Between(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv2d(3, 16, 8, 8)
            self.first, self.last = attention(), attention()
            self.score, self.mix = nn.Linear(16, 1), nn.Linear(16, 16)

        def forward(self, pixels):
            x = self.embed(pixels).flatten(2).transpose(1, 2)
            x = x + self.first(x, x, x)[0]
            if way == "pooled by a sigmoid":
                x = x + (self.score(x).sigmoid() * x).sum(1, keepdim=True)
            else:
                x = x + self.mix(x.transpose(1, 2)).transpose(1, 2)
            return self.last(x, x, x)[0]

    seen = looked(Between(), torch.randn(2, 3, 32, 32))
    with pytest.raises(JumokError, match="a sum with what several tokens gave"):
        seen.rollout((0, 0))
