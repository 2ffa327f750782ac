"""Tokens that are no places of an image are named by where they stand in their input, and what is odd is said."""

import pytest
import torch
from token_models import Image, attention, looked
from torch import nn
from torch.nn import functional as F

from jumok.attention import Channels, Patches, Scale
from jumok.watching.watch import watch


class Words(nn.Module):
    """Attention of words, after something was done to them."""

    def __init__(self, change):
        super().__init__()
        self.words, self.attention, self.change = nn.Embedding(20, 16), attention(), change

    def forward(self, ids):
        x = self.change(self.words(ids))
        return x + self.attention(x, x, x)[0]


IDS = torch.randint(0, 20, (2, 6))
CHANGES = {
    "put in another order": (lambda x: x[:, [2, 0, 1, 5, 4, 3]], ["2", "0", "1", "5", "4", "3"], ""),
    "some left out": (lambda x: x[:, [0, 3, 5]], ["0", "3", "5"], ""),
    "two merged": (lambda x: (x[:, ::2] + x[:, 1::2]) / 2, ["0-1", "2-3", "4-5"], ""),
    "those apart merged": (lambda x: (x[:, :3] + x[:, 3:]) / 2, ["0-3", "1-4", "2-5"], "those of others between them"),
    "pooled": (
        lambda x: F.avg_pool1d(x.mT, 3, 1, 1).mT, ["0-1", "0-2", "1-3", "2-4", "3-5", "4-5"], "",
    ),
    "one sequence": (
        lambda x: x[:, :2].reshape(1, 4, 16), ["0:0", "0:1", "1:0", "1:1"], "several rows of the batch",
    ),
    "rows mixed": (lambda x: 0.7 * x + 0.3 * x.flip(0), list("012345"), "made of several rows of the batch"),
    "repeated": (lambda x: x[:, :2].repeat(1, 2, 1), ["0/1", "1/1", "0/2", "1/2"], "stand here several times"),
    "a zero before": (lambda x: F.pad(x[:, :2], (0, 0, 1, 0)), ["constant", "0", "1"], "comes from nothing"),
    "as a list of numbers": (lambda x: x.new_tensor(x.tolist()), ["constant"] * 6, "comes from nothing"),
    "as whole numbers": (
        lambda x: x.view(torch.int32).clone().view(torch.float32), ["constant"] * 6, "comes from nothing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", CHANGES)
def test_words_are_numbered_by_their_place_in_the_input(way):
    change, wanted, why = CHANGES[way]
    axis = looked(Words(change), IDS)[0].keys
    assert axis.labels() == wanted
    assert why in axis.why if why else axis.why == ""


def test_what_was_said_of_the_words_of_the_input_follows_them():
    words = list("abcdef")
    for change, wanted in (
        (lambda x: x, words),
        (CHANGES["put in another order"][0], list("cabfed")),
        (CHANGES["some left out"][0], list("adf")),
    ):
        with torch.no_grad(), watch(model := Words(change).eval(), tokens=words) as seen:
            model(IDS)
        assert seen[0].keys.labels() == wanted
    with torch.no_grad(), watch(model := Words(lambda x: x[:, [2, 0, 1]]).eval(), tokens=list("xyz")) as seen:
        model(IDS)
    assert seen[0].keys.labels() == ["2", "0", "1"]  # three words, said of nobody knows which three


class Packed(nn.Module):
    """Heads that share their keys, packed into the queries by hand."""

    def __init__(self):
        super().__init__()
        self.words, self.query, self.pair = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, ids):
        x = self.words(ids)
        batch, count, _ = x.shape
        query = self.query(x).view(batch, count, 2, 4).transpose(1, 2).reshape(batch, 2 * count, 4)
        key, value = self.pair(x).chunk(2, -1)
        made = F.scaled_dot_product_attention(query, key, value).view(batch, 2, count, 4)
        return x + made.transpose(1, 2).reshape(batch, count, 8)


def test_heads_that_are_packed_into_the_queries_are_told():
    seen = looked(Packed(), IDS[:, :3])
    axis = seen[0].queries
    assert axis.labels() == ["0/1", "1/1", "2/1", "0/2", "1/2", "2/2"]
    assert "heads are packed into the queries" in axis.why
    assert seen[0].keys.labels() == ["0", "1", "2"]


def test_queries_that_are_constant_are_no_channels():
    class Zeros(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = attention()

        def forward(self, x):
            return self.attention(torch.zeros(2, 3, 16), x, x)[0]

    assert looked(Zeros(), torch.randn(2, 5, 16))[0].queries.labels() == ["constant"] * 3


PIXELS = torch.randn(2, 3, 16, 16)
SUMS = {
    "of two images": lambda x: 0.7 * x + 0.3 * x.flip(0),
    "of one image and another": lambda x: 0.7 * x[:1] + 0.3 * x[1:],
    "between two images": lambda x: torch.lerp(x, x[torch.tensor([1, 0])], 0.3),
    "less another image": lambda x: x - x.flip(0),
}


@pytest.mark.parametrize("way", SUMS)
def test_images_that_were_mixed_are_not_laid_over_one(way):
    class Mixed(Image):
        def forward(self, pixels):
            return super().forward(SUMS[way](pixels))

    seen = looked(Mixed(), PIXELS)
    assert seen[0].keys.labels() == ["0", "1", "2", "3"]
    assert seen[0].keys.why == "tokens of several images"
    assert seen[0].weights.shape == (1 if "and" in way else 2, 2, 4, 4)
    torch.testing.assert_close(seen.rollout(1).weights[:, 0], seen[0].weights.mean(1)[:, 1])


@pytest.mark.parametrize(
    "change", [lambda x: x - x.mean((2, 3), keepdim=True), lambda x: x - x.mean(0, keepdim=True), lambda x: 2 * x]
)
def test_images_less_their_mean_are_still_the_image(change):
    class Less(Image):
        def forward(self, pixels):
            return super().forward(change(pixels))

    assert looked(Less(), PIXELS)[0].keys == Patches(2, 2)


class Embedded(nn.Module):
    """Attention over the rows of ids to which something was done before they were embedded."""

    def __init__(self, change, **options):
        super().__init__()
        self.embed, self.change = nn.Embedding(30, 16), change
        self.attention = nn.MultiheadAttention(16, 2, **{"batch_first": True, **options})

    def forward(self, ids):
        x = self.embed(self.change(ids))
        return self.attention(x, x, x)[0]


TURNED = {
    "flipped": (lambda ids: ids.flip(1), "hgfedcba", {}),
    "rolled": (lambda ids: ids.roll(2, 1), "ghabcdef", {}),
    "the steps first": (lambda ids: ids.t(), "abcdefgh", {"batch_first": False}),
}


@pytest.mark.parametrize("kind", TURNED)
def test_words_said_follow_ids_that_are_put_in_another_order(kind):
    change, wanted, options = TURNED[kind]
    model = Embedded(change, **options).eval()
    with torch.no_grad(), watch(model, tokens=list("abcdefgh")) as seen:
        model(torch.randint(0, 30, (2, 8)))
    assert "".join(seen[0].keys.labels()) == wanted
    assert seen[0].weights.shape == (2, 2, 8, 8)
    assert getattr(seen[0].keys, "why", "") == ""


def put_together(ids):
    shifted = ids.new_zeros(ids.shape)
    shifted[:, 1:] = ids[:, :-1].clone()
    shifted[:, 0] = 1
    return shifted.masked_fill_(shifted == -100, 1).view(-1, ids.shape[-1])


ORDER = torch.tensor([7, 6, 5, 4, 3, 2, 1, 0])
CHOSEN = {
    "shifted by padding": (lambda ids: F.pad(ids, (1, 0), value=1)[:, :-1], ["constant", *"abcdefg"]),
    "shifted by joining": (
        lambda ids: torch.cat([ids.new_ones(len(ids), 1), ids[:, :-1]], 1),
        ["constant", *"abcdefg"],
    ),
    "shifted by writing": (put_together, ["constant", *"abcdefg"]),
    "filled up": (lambda ids: F.pad(ids, (0, 1)), [*"abcdefgh", "constant"]),
    "one before": (lambda ids: F.pad(ids, (1, 0), value=1), ["constant", *"abcdefgh"]),
    "halves changed over": (lambda ids: torch.cat([ids[:, 4:], ids[:, :4]], 1), list("efghabcd")),
    "gathered": (lambda ids: ids.gather(1, ORDER.expand(len(ids), -1)), list("hgfedcba")),
    "chosen by index": (lambda ids: ids.index_select(1, ORDER), list("hgfedcba")),
    "stacked": (lambda ids: torch.stack([ids[:, 1], ids[:, 0], *ids[:, 2:].unbind(1)], 1), list("bacdefgh")),
    "one or the other": (lambda ids: torch.where(ids < 0, ids, ids.flip(1)), list("hgfedcba")),
}


@pytest.mark.parametrize("kind", CHOSEN)
def test_words_said_follow_ids_that_are_shifted_and_joined(kind):
    change, wanted = CHOSEN[kind]
    model = Embedded(change).eval()
    with torch.no_grad(), watch(model, tokens=list("abcdefgh")) as seen:
        model(torch.randint(2, 30, (2, 8)))
    assert seen[0].keys.labels() == wanted
    assert ("comes from nothing" in getattr(seen[0].keys, "why", "")) is ("constant" in wanted)
    rolled = seen.rollout(0)
    assert sorted(rolled.keys.labels()) == sorted(wanted)
    order = [rolled.keys.labels().index(word) for word in wanted]
    torch.testing.assert_close(rolled.weights[:, 0][:, order], seen[0].weights.mean(1)[:, 0])


def test_words_said_of_a_text_and_what_is_put_before_it_are_taken_as_they_are():
    model = Embedded(lambda ids: F.pad(ids, (1, 0), value=1)).eval()
    with torch.no_grad(), watch(model, tokens=["<s>", *"abcdefgh"]) as seen:
        model(torch.randint(2, 30, (2, 8)))
    assert seen[0].keys.labels() == ["<s>", *"abcdefgh"]


@pytest.mark.parametrize("copies", [lambda ids: torch.cat([ids, ids]), lambda ids: ids.repeat_interleave(2, 0)])
def test_copies_of_a_text_are_texts_of_their_own(copies):
    seen = looked(Embedded(copies), torch.randint(2, 30, (2, 8)))
    assert seen[0].weights.shape == (4, 2, 8, 8)
    assert seen[0].lead == ("batch", "head")
    assert seen.rollout(0).weights.shape == (4, 1, 8)


def test_words_of_two_parts_of_one_text_keep_their_numbers():
    class Parts(Embedded):
        def forward(self, ids):
            one, other = self.embed(ids[:, :3]), self.embed(ids[:, 3:])
            return one + self.attention(one, other, other)[0]

    model = Parts(None).eval()
    with torch.no_grad(), watch(model) as seen:
        model(torch.randint(0, 30, (2, 8)))
    assert seen[0].queries.labels() == ["0", "1", "2"]
    assert seen[0].keys.labels() == ["3", "4", "5", "6", "7"]
    found = seen.rollout(1)
    assert found.keys.labels() == [str(number) for number in range(8)]
    own = torch.tensor([[0.0, 0.5, 0.0]]).expand(2, -1)
    wanted = torch.cat([own, 0.5 * seen[0].weights.mean(1)[:, 1]], 1)
    torch.testing.assert_close(found.weights[:, 0], wanted)


def test_each_step_of_a_loop_with_a_cache_has_its_own_number():
    class Steps(Embedded):
        def forward(self, ids):
            cache = torch.zeros(len(ids), 0, 16)
            for step in range(ids.shape[1]):
                x = self.embed(ids[:, step : step + 1])
                cache = torch.cat([cache, x], 1)
                x = x + (x @ cache.mT).softmax(-1) @ cache
            return x

    model = Steps(None).eval()
    with torch.no_grad(), watch(model) as seen:
        model(torch.randint(0, 30, (2, 4)))
    assert [seen[name].queries.labels() for name in seen.names[1:]] == [["1"], ["2"], ["3"]]
    assert seen[3].keys.labels() == ["0", "1", "2", "3"]


SORTED = {
    "sorted": lambda ids: ids.sort().values,
    "sorted down": lambda ids: torch.msort(ids.T).T,
    "each once": lambda ids: ids.unique()[None],
    "sorted and turned": lambda ids: ids.sort()[0].flip(1),
}


@pytest.mark.parametrize("how", SORTED)
def test_words_that_were_sorted_by_their_ids_are_not_named_by_where_they_stood(how):
    class Sorting(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(10, 8)

        def forward(self, ids):
            x = self.embed(SORTED[how](ids))[:, None]
            return F.scaled_dot_product_attention(x, x, x)

    model = Sorting()
    with torch.no_grad(), watch(model, tokens=list("hello")) as seen:
        model(torch.tensor([[7, 3, 9, 4, 8]]))
    keys = seen[seen.names[0]].keys
    assert set(keys.labels()) == set("01234")
    assert keys.why == "words in an order that their ids make, as sorted ones are"


def test_weights_that_are_masked_after_their_softmax_are_no_shares():
    class Masking(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(8, 8)

        def forward(self, x, hidden):
            weights = (self.inner(x) @ x.mT / 3).softmax(-1).masked_fill(hidden, 0)
            return weights @ x

    model, x = Masking(), torch.randn(1, 4, 8)
    some, whole = torch.zeros(1, 4, 4, dtype=torch.bool), torch.zeros(1, 4, 4, dtype=torch.bool)
    some[..., 1], whole[:, 2] = True, True  # a key of every query; every key of one
    scales = []
    for hidden in (some, whole):
        with torch.no_grad(), watch(model) as seen:
            model(x, hidden)
        scales.append(seen[seen.names[0]].scale)
    assert scales == [Scale.GATE, Scale.DISTRIBUTION]


class Gathering(Image):
    """Learnt scores for each of three tokens to be, which are gathered from the patches and look at one another."""

    def __init__(self, score, layered=True):
        super().__init__()
        self.seeds, self.score, self.layered = nn.Parameter(torch.randn(3, 16)), score, layered
        self.attention = attention()

    def forward(self, pixels):
        x = self.embed(pixels).flatten(2).mT
        gathered = self.score(self.seeds, x).softmax(-1) @ x
        return gathered + self.attention(gathered, gathered, gathered)[0] if self.layered else gathered.mean(1)


SCORES = {
    "a parameter times tokens": lambda seeds, x: seeds @ x.mT,
    "written with letters": lambda seeds, x: torch.einsum("nd,bmd->bnm", seeds, x),
    "of each image": lambda seeds, x: seeds.expand(len(x), -1, -1) @ x.mT,
    "a linear layer": lambda seeds, x: F.linear(x, seeds).mT,
}


@pytest.mark.parametrize("way", SCORES)
def test_tokens_that_learnt_scores_gather_are_told_apart(way):
    """As PatchMerger and TokenLearner have them: what they gather are tokens of the layers behind, not channels."""
    seen = looked(Gathering(SCORES[way]), torch.randn(2, 3, 16, 16))
    names = ["gathered1", "gathered2", "gathered3"]
    assert (seen[0].queries.labels(), seen[0].keys) == (names, Patches(2, 2))
    assert (seen[1].queries.labels(), seen[1].keys.labels()) == (names, names)
    assert seen.of_image(1, 1).keys.labels() == names
    assert seen[1].keys.why == ""
    alone = looked(Gathering(SCORES[way], layered=False), torch.randn(2, 3, 16, 16))
    assert alone[0].queries == Channels.numbered(3)  # nothing tells these from features
