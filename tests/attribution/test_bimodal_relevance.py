"""Relevance between words and places against the published rules, written out with whole matrices."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from two_streams import WIDTH, Attention, inputs
from watched_models import peaked

from jumok.attention import Patches, Scale, Tokens
from jumok.attribution import bimodal_relevance
from jumok.errors import JumokError
from jumok.systems.vqa import VQA, VQAConfig
from jumok.watching import dot_product
from jumok.watching.watch import watch

# -- the rules as they are published ---------------------------------------------------------------


def published(rounds, target, counts):
    """R_tt and R_ti of each image after all rounds of (weights, looking, seen), in the paper's order and symbols."""
    every = [weights for steps in rounds for weights, _, _ in steps]
    slopes = dict(
        zip(map(id, every), torch.autograd.grad(target.sum(), every, retain_graph=True, allow_unused=True), strict=True)
    )
    found = []
    for image in range(len(every[0])):
        r = {
            ("t", "t"): torch.eye(counts[0]).double(),
            ("i", "i"): torch.eye(counts[1]).double(),
            ("t", "i"): torch.zeros(counts[0], counts[1]).double(),
            ("i", "t"): torch.zeros(counts[1], counts[0]).double(),
        }
        for steps in rounds:
            before = dict(r)
            for weights, s, q in steps:
                slope = slopes[id(weights)]
                slope = torch.zeros_like(weights) if slope is None else slope
                mean = (slope[image] * weights[image]).clamp(min=0).mean(0).detach().double()  # eq. 5
                other = "i" if s == "t" else "t"
                if s == q:
                    r[s, s] = r[s, s] + mean @ before[s, s]  # eq. 6
                    r[s, other] = r[s, other] + mean @ before[s, other]  # eq. 7
                else:
                    bar = {x: normalised(before[x, x]) for x in "ti"}
                    r[s, q] = r[s, q] + bar[s].T @ mean @ bar[q]  # eq. 10
                    r[s, s] = r[s, s] + mean @ before[q, s]  # eq. 11
        found.append((r["t", "t"], r["t", "i"]))
    return tuple(torch.stack(matrices) for matrices in zip(*found, strict=True))


def normalised(matrix):
    hat = matrix - torch.eye(len(matrix))  # eq. 8
    sums = hat.sum(1)
    rows = [row / total if total > 0 else row * 0 for row, total in zip(hat, sums, strict=True)]
    return torch.stack(rows) + torch.eye(len(matrix))  # eq. 9


class Pair(nn.Module):
    """Words and places, which look at themselves and at each other in one of three ways."""

    def __init__(self, way, form):
        super().__init__()
        torch.manual_seed(1)
        self.way = way
        self.eye = nn.ModuleList(Attention(form) for _ in range(2))
        self.reader = Attention(form)
        self.cross = nn.ModuleList(Attention(form) for _ in range(2))
        self.back = nn.ModuleList(Attention(form) for _ in range(2))
        self.after = nn.ModuleList(Attention(form) for _ in range(2))
        self.out = nn.Linear(WIDTH, 3)
        self.double()

    def forward(self, words, places, real=None):
        for layer in self.eye:
            places = places + layer(places, places)
        words = words + self.reader(words, words, real)
        for cross, back, after in zip(self.cross, self.back, self.after, strict=True):
            told = words + cross(words, places)
            if self.way != "one way":
                places = places + back(places, told if self.way == "in turn" else words, real)
            words = told + after(told, told, real)
        return self.out(words[:, 0])

    def rounds(self):
        """Which weights were formed, by whom, of whom; those of one round from the same state."""
        first = [[(layer.kept[0], "i", "i")] for layer in self.eye] + [[(self.reader.kept[0], "t", "t")]]
        for cross, back, after in zip(self.cross, self.back, self.after, strict=True):
            across = [(cross.kept[0], "t", "i")]
            returned = [] if self.way == "one way" else [(back.kept[0], "i", "t")]
            first += [across + returned] if self.way == "side by side" else [across, returned]
            first += [[(after.kept[0], "t", "t")]]
        return [steps for steps in first if steps]


def textbook(way, given, answer=1):
    model = Pair(way, "by hand")
    logits = model(*given)
    return published(model.rounds(), logits[:, answer], (given[0].shape[1], given[1].shape[1]))


WAYS = ["one way", "side by side", "in turn"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", ["module", "fused", "by hand"])
@pytest.mark.parametrize("padded", [True, False])
def test_relevance_of_words_and_places_is_the_published_one(way, form, padded):
    words, places, real = inputs()
    given = (words, places, real if padded else None)
    wanted_words, wanted_places = textbook(way, given)
    model = Pair(way, form).eval()
    with watch(model) as seen:
        logits = model(*given)
    for query in (0, 3):
        found = seen.bimodal_relevance(logits[:, 1], query, allow_empty=padded)  # of a query that is padding, nothing
        assert_near(found.words.weights[:, 0], wanted_words[:, query])
        assert_near(found.places.weights[:, 0], wanted_places[:, query])
        assert found.words.scale is found.places.scale is Scale.RELEVANCE
    mean = seen.bimodal_relevance(logits[:, 1], "mean")
    assert_near(mean.places.weights[:, 0], wanted_places.mean(1))
    assert mean.places.source == "relevance of places(mean)"


def assert_near(found, wanted):
    assert wanted.max() > 0
    assert bool((found >= 0).all())
    torch.testing.assert_close(found, wanted.float(), atol=1e-6 * float(wanted.max()), rtol=1e-5)


def test_the_three_ways_differ_so_that_the_order_matters():
    one, side, turn = (textbook(way, inputs())[1] for way in WAYS)
    assert (one - side).abs().max() > 1e-3
    assert (side - turn).abs().max() > 1e-3


def test_a_small_gradient_is_not_lost_beside_the_identity():
    """Equation 9 divides by the sums of R - I, which here are a billionth of I."""
    given = inputs()
    model = Pair("one way", "fused").eval()
    with watch(model) as seen:
        logits = model(*given).float()
    whole = seen.bimodal_relevance(logits[:, 1])
    small = seen.bimodal_relevance(logits[:, 1] * 2**-30)
    torch.testing.assert_close(small.places.weights * 2**30, textbook_of_small(given), atol=0.0, rtol=1e-3)
    assert not torch.allclose(whole.places.weights, small.places.weights * 2**30)  # the rules are not linear


def textbook_of_small(given):
    model = Pair("one way", "by hand")
    logits = model(*given)
    target = logits[:, 1] * 2**-30
    return (published(model.rounds(), target, (4, 6))[1][:, :1] * 2**30).float()


def test_some_images_at_a_time_give_the_same(monkeypatch):
    given = inputs(batch=5)
    model = Pair("side by side", "fused").eval()
    with watch(model) as seen:
        logits = model(*given)
    together = seen.bimodal_relevance(logits[:, 0])
    monkeypatch.setattr(bimodal_relevance, "BLOCK_VALUES", 2 * 6 * 6)
    monkeypatch.setattr(dot_product, "BLOCK_VALUES", 30)
    monkeypatch.setattr(dot_product, "BLOCK_COLUMNS", 4)
    parts = seen.bimodal_relevance(logits[:, 0])
    for whole, part in zip(together, parts, strict=True):
        torch.testing.assert_close(part.weights, whole.weights, atol=1e-7, rtol=1e-5)


# -- models as they are ---------------------------------------------------------------------------


def test_lxmert_whose_streams_look_at_each_other_side_by_side(monkeypatch):
    transformers = pytest.importorskip("transformers")
    config = transformers.LxmertConfig(
        vocab_size=40, hidden_size=16, num_attention_heads=2, intermediate_size=32, l_layers=2, r_layers=2, x_layers=2,
        visual_feat_dim=8, visual_pos_dim=4,
    )  # fmt: skip
    model = peaked(transformers.LxmertModel(config)).double()
    given = torch.randint(0, 40, (2, 5)), torch.randn(2, 7, 8).double(), torch.rand(2, 7, 4).double()
    kept = []
    with monkeypatch.context() as patched:
        softmax = F.softmax
        patched.setattr(F, "softmax", lambda *args, **options: kept.append(softmax(*args, **options)) or kept[-1])
        target = model(*given).pooled_output[:, 1]
    alone = ["tt", "tt", "ii", "ii"]
    rounds = [[(weights, *sides)] for weights, sides in zip(kept[:4], alone, strict=True)]
    for first in (4, 8):
        across, back, words, places = kept[first : first + 4]
        rounds += [[(across, "t", "i"), (back, "i", "t")], [(words, "t", "t")], [(places, "i", "i")]]
    wanted = published(rounds, target, (5, 7))
    with watch(model) as seen:
        target = model(*given).pooled_output[:, 1]
    found = seen.bimodal_relevance(target)
    assert len(seen) == len(kept) == 12
    for got, matrix in zip(found, wanted, strict=True):
        assert_near(got.weights[:, 0], matrix[:, 0])
    same = {"*.att@2": "places->words", "*.att": "words->places", "*visn*": "places", "*r_layers": "places"}
    again = seen.bimodal_relevance(target, streams={**same, "*": "words"})
    assert torch.equal(again.places.weights, found.places.weights)


OURS = {"eye": "places", "reader": "words", "fusion.*.attn": "words", "fusion.*.cross": "words->places"}


def answerer(**options):
    config = VQAConfig(
        answers=3, words=30, width=16, heads=2, fusion="transformer", reader="transformer", eye_layers=1, **options
    )
    return peaked(VQA(config))


@pytest.mark.parametrize("streams", [None, OURS])
def test_our_own_model_has_words_and_places_of_the_image(streams):
    model = answerer(image_size=(32, 48), patch=8)
    ids = torch.tensor([[2, 5, 6, 7, 8], [2, 9, 4, 0, 0]])
    words = ["<s>", "what", "colour", "is", "it"]
    with watch(model, tokens=words) as seen:
        logits = model(torch.randn(2, 3, 32, 48), ids)
    found = seen.bimodal_relevance(logits[:, 1], "<s>", streams=streams)
    assert found.words.keys == Tokens(tuple(words))
    assert found.places.keys == Patches(4, 6)
    assert found.places.image(32, 48).shape == (2, 1, 32, 48)
    assert (found.words.weights[1, 0, 3:] == 0).all()
    assert (found.places.weights > 0).any(-1).all()


@pytest.mark.parametrize("words", [None, [str(number) for number in range(16)]])
def test_as_many_words_as_places_are_told_by_where_they_come_from(words):
    model = answerer(image_size=32, patch=8)
    with watch(model, tokens=words) as seen:
        logits = model(torch.randn(1, 3, 32, 32), torch.randint(5, 30, (1, 16)))
    found, wanted = seen.bimodal_relevance(logits[:, 0]), seen.bimodal_relevance(logits[:, 0], streams=OURS)
    assert found.places.keys == Patches(4, 4)
    assert found.words.keys == Tokens(tuple(str(number) for number in range(16)))
    torch.testing.assert_close(found.words.weights, wanted.words.weights)
    torch.testing.assert_close(found.places.weights, wanted.places.weights)


def test_streams_of_one_size_are_told_by_their_inputs():
    model = Pair("in turn", "fused").eval()
    with watch(model) as seen:
        logits = model(*inputs(words=5, places=5)[:2])
    found = seen.bimodal_relevance(logits[:, 0])
    names = {"eye": "places", "cross": "words->places", "back": "places->words", "*": "words"}
    wanted = seen.bimodal_relevance(logits[:, 0], streams=names)
    torch.testing.assert_close(found.places.weights, wanted.places.weights)


def test_tokens_that_are_lost_belong_to_no_stream_without_a_word():
    class Lost(Pair):
        def forward(self, words, places):
            return super().forward(words, torch.linalg.pinv(places).mT)

    model = Lost("one way", "fused").eval()
    with watch(model) as seen:
        logits = model(*inputs()[:2])
    with pytest.raises(JumokError, match=r"tokens of eye.0 belong to is not known .*streams="):
        seen.bimodal_relevance(logits[:, 0])


def test_an_encoder_decoder_is_two_streams_of_words():
    torch.manual_seed(0)
    model = nn.Transformer(16, 4, 2, 2, 32, dropout=0.0, batch_first=True).eval()
    with watch(model) as seen:
        output = model(torch.randn(2, 6, 16), torch.randn(2, 4, 16))
    found = seen.bimodal_relevance(output[:, 3, 0], 3)
    assert (len(found.words.keys), len(found.places.keys)) == (4, 6)
    with pytest.raises(JumokError, match=r"not one chain .* seen.bimodal_relevance"):
        seen.relevance(output[:, 3, 0], 3)


# -- what cannot be followed ----------------------------------------------------------------------


def watched_pair(way="one way", places=6):
    model = Pair(way, "fused").eval()
    with watch(model) as seen:
        logits = model(*inputs(places=places))
    return seen, logits


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ({"eye": "places", "reader": "words"}, r"cross.0 belongs to none of the given streams \(eye, reader\)"),
        ({"*": "pictures"}, "no stream 'pictures'"),
        ({"eye": "places", "*": None}, "words look at places in none of the calls"),
        ({"*": None}, "none was chosen"),
        ({"cross": "words->places", "*": "words"}, "4 or 6 words and 6 places"),
    ],
)
def test_streams_that_do_not_fit_are_named(streams, message):
    seen, logits = watched_pair()
    with pytest.raises(JumokError, match=message) as caught:
        seen.bimodal_relevance(logits[:, 0], streams=streams)
    assert "\n" not in str(caught.value)


def test_one_stream_alone_is_no_pair():
    model = Attention("fused").eval()
    with watch(model) as seen:
        output = model(*[torch.randn(1, 4, WIDTH)] * 2)
    with pytest.raises(JumokError, match=r"follow one stream with seen.relevance"):
        seen.bimodal_relevance(output.sum())
    with watch(model) as seen:
        pass
    with pytest.raises(JumokError, match="no attention call was seen"):
        seen.bimodal_relevance(output.sum())


class Pooled(Pair):
    """Ends with one more query, which looks at the words."""

    def forward(self, words, places, real=None):
        super().forward(words, places, real)
        told = words + self.cross[0](words, places)
        return self.out(self.reader(told[:, :1], told)[:, 0])


def test_a_part_of_a_stream_must_be_left_out_by_name():
    model = Pooled("one way", "fused").eval()
    with watch(model) as seen:
        logits = model(*inputs())
    with pytest.raises(JumokError, match=r"got 1 or 4 words and 6 places .* None for those to leave out"):
        seen.bimodal_relevance(logits[:, 0])
    streams = {"reader@2": None, "cross": "words->places", "eye": "places", "*": "words"}
    assert seen.bimodal_relevance(logits[:, 0], streams=streams).places.weights.any()


def test_a_third_input_must_be_left_out_by_name():
    class Third(Pair):
        def forward(self, words, places, more):
            return super().forward(words, places) + self.reader(more, more).sum()

    model = Third("one way", "fused").eval()
    with watch(model) as seen:
        logits = model(*inputs()[:2], torch.randn(3, 4, WIDTH).double())
    with pytest.raises(JumokError, match=r"more than two streams .* None for those to leave out"):
        seen.bimodal_relevance(logits[:, 0])


def test_gradients_are_needed():
    model = Pair("one way", "fused").eval()
    with torch.no_grad(), watch(model) as seen:
        logits = model(*inputs())
    with pytest.raises(JumokError, match=r"outside torch.no_grad"):
        seen.bimodal_relevance(logits[:, 0])
    seen, _ = watched_pair()
    with pytest.raises(JumokError, match="does not depend"):
        seen.bimodal_relevance(model(*inputs())[:, 0])


def test_no_relevance_is_an_error_or_zeros_where_they_are_allowed():
    seen, logits = watched_pair()
    only_first = logits[0, 1]
    with pytest.raises(JumokError, match="in some image no place"):
        seen.bimodal_relevance(only_first)
    found = seen.bimodal_relevance(only_first, allow_empty=True)
    assert found.places.weights[0].any()
    assert not found.places.weights[1:].any()
    assert found.words.weights[1:, 0].tolist() == [[1, 0, 0, 0]] * 2


@pytest.mark.parametrize("query", [9, "dog"])
def test_a_query_that_is_no_word(query):
    seen, logits = watched_pair()
    with pytest.raises(JumokError, match="with query="):
        seen.bimodal_relevance(logits[:, 0], query)


class Shared(Pair):
    """The image is looked at once, for several texts."""

    def forward(self, words, places, real=None):
        places = places[:1]
        for layer in self.eye:
            places = places + layer(places, places)
        return self.out(self.cross[0](words, places.expand(len(words), -1, -1))[:, 0])


def test_an_image_that_was_looked_at_once_for_several_texts():
    model = Shared("one way", "fused").eval()
    with watch(model) as seen:
        logits = model(*inputs())
    with pytest.raises(JumokError, match=r"batches of 1 and 3.* repeat the image"):
        seen.bimodal_relevance(logits[:, 0])


def test_two_passes_are_no_chain():
    model = Pair("one way", "fused").eval()
    with watch(model) as seen:
        model(*inputs())
        logits = model(*inputs())
    with pytest.raises(JumokError, match="ran 2 times"):
        seen.bimodal_relevance(logits[:, 0])
    assert seen.passes[1].bimodal_relevance(logits[:, 0]).places.weights.any()


@pytest.mark.parametrize("residual", [True, False])
def test_calls_without_a_residual_connection_are_refused(residual):
    class Cross(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.own, self.cross = (nn.MultiheadAttention(8, 2, batch_first=True) for _ in range(2))

        def forward(self, words, places):
            words = words + self.own(words, words, words)[0]
            found = self.cross(words, places, places)[0]
            return (words + found if residual else found)[:, 0]

    with watch(model := Cross().eval()) as seen:
        out = model(torch.randn(2, 3, 8), torch.randn(2, 5, 8))
    if residual:
        assert seen.bimodal_relevance(out[:, 0]).places.weights.any()
    else:
        with pytest.raises(JumokError, match="no residual connection was seen that leads past cross"):
            seen.bimodal_relevance(out[:, 0])
