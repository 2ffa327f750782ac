"""Write sentences with a model that says word by word what may come next: greedy and beam search."""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from jumok.errors import JumokError, suggest
from jumok.special_tokens import EOS, PAD, SOS
from jumok.systems.writing import State

__all__ = ["Hypothesis", "Options", "Writer", "check_length", "search", "translate_ids"]

NEVER = [PAD, SOS]  # never written
NOTHING = -math.inf
MOST_BEAMS = 1024
MOST_TOKENS = 16384
MOST_CELLS = 1 << 20
MOST_PENALTY = 10.0
"""Bounds of what a search may be asked for: beyond lie only mistyped numbers, which would take hours or all memory.

Cells are beams times tokens."""
SPARE = 8  # so many more than wanted are looked at, since several may have one value, most of all in bf16
BLOCK = 64  # of the vocabulary, whose greatest value says whether the rest of it is looked at
MANY = 1 << 17  # logits, from which on looking at blocks first is faster
CACHED = 1 << 19  # logits, of which a cache holds what is computed of each
PRECISIONS = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}
"""In which the products with weights are computed."""


class Hypothesis(NamedTuple):
    """A sentence that the search came to.

    Args:
        tokens: ids, without <s> and </s>.
        score: log probability of the tokens and </s>, over (how many these are) ** length penalty.
    """

    tokens: list[int]
    score: float


class Writer(Protocol):
    """What a system offers to be searched; see `Seq2Seq` and `Transformer`, which are modules too."""

    def encode(self, source: Tensor, beams: int = 1) -> State:
        """Read sentences."""

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Write one word more."""


@dataclass
class Options:
    """What a search was asked for; as the arguments of `search`."""

    beam: int
    n_best: int
    length_penalty: float
    enough: int | None
    precision: str = "32"

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            JumokError: numbers below 1, more results than hypotheses, a negative penalty.
        """
        if self.beam < 1 or self.n_best < 1 or (self.enough is not None and self.enough < 1):
            raise JumokError(f"beam and n_best are 1 or more, got {self.beam} and {self.n_best} (enough {self.enough})")
        if self.n_best > self.beam:
            raise JumokError(f"n_best {self.n_best} is more than beam {self.beam}: a larger beam finds more")
        if self.beam > MOST_BEAMS:
            raise JumokError(f"beam is {MOST_BEAMS:,} at most, got {self.beam:,}")
        if not 0 <= self.length_penalty <= MOST_PENALTY:
            raise JumokError(f"length_penalty is 0 to {MOST_PENALTY:g}, got {self.length_penalty:g}")
        if self.precision not in PRECISIONS:
            raise JumokError(f"no precision {self.precision!r}: {suggest(self.precision, PRECISIONS)}")

    def score(self, log_probability: float, length: int) -> float:
        """Compare sentences of different lengths: log p / length ** penalty, </s> counted."""
        return float(log_probability / length**self.length_penalty)


def search(
    model: Writer,
    source: Tensor,
    *,
    beam: int = 1,
    n_best: int = 1,
    length_penalty: float = 1.0,
    max_length: int | None = None,
    enough: int | None = None,
    precision: str = "32",
) -> list[list[Hypothesis]]:
    """Find likely sentences.

    Each step takes the `beam` likeliest continuations of all live hypotheses of a sentence; those that end with </s>
    are finished, the others live on. A sentence leaves the batch when none is left alive, or when none that is alive
    could still become one of the `n_best`: what log p has it keeps at best, at the greatest length. `beam` 1 is greedy
    search. Equal scores: the lower id first.

    Args:
        model: in eval mode for the time of the search.
        source: (sentences, tokens) int64, each with </s>, padded with <pad> at the right.
        beam: how many hypotheses of a sentence go on.
        n_best: how many are wanted of each sentence; at most `beam`.
        length_penalty: the score is log p / length ** penalty (</s> counted); 0: log p alone, which favours the short.
        max_length: how many tokens a sentence may have; there only </s> may come. None: 2 x source tokens + 20.
        enough: end a sentence that has so many finished hypotheses, though a live one might still win. None: never.
        precision: of the products with weights, "32", "bf16" or "16"; scores are summed in float32 in any case.
    Returns:
        For each sentence its hypotheses, the best first, `n_best` of them or fewer where the search met fewer.
    Raises:
        JumokError: options that make no sense, or ids that the model refuses.
    """
    options = Options(beam, n_best, length_penalty, enough, precision)
    options.check()
    check_length(max_length, beam)
    if source.dim() == 2 and not len(source):
        return []
    with torch.inference_mode(), _in_eval(model), _in_precision(source.device, precision):
        live = _begin(model, source, _limits(model, source, max_length))
        found: list[list[Hypothesis]] = [[] for _ in range(len(source))]
        while live.numbers:
            live = _advance(model, live, found, options)
    return found


def translate_ids(
    model: Writer,
    sources: Sequence[Sequence[int]],
    *,
    beam: int = 1,
    n_best: int = 1,
    length_penalty: float = 1.0,
    max_length: int | None = None,
    enough: int | None = None,
    precision: str = "32",
    batch_tokens: int = 4096,
    longest: float = math.inf,
) -> list[list[Hypothesis]]:
    """Search for many sentences, in batches of similar length.

    Args:
        model: as for `search`, whose other options these are too.
        sources: the tokens of each sentence, without </s>; one without tokens is given back as one without tokens.
        batch_tokens: how many source tokens (times beam) are worked on at once, padding counted.
        longest: tokens that a sentence may have; a longer one is given back as one without tokens.
    Returns:
        As `search`, in the order of `sources`.
    """
    options = Options(beam, n_best, length_penalty, enough, precision)
    options.check()
    check_length(max_length, beam)
    device = next(model.parameters()).device if isinstance(model, nn.Module) else torch.device("cpu")
    found = [[Hypothesis([], 0.0)] for _ in sources]
    lengths = [len(source) if len(source) <= longest else 0 for source in sources]
    for numbers in _batches(lengths, batch_tokens // beam):
        source = _pad([[*sources[number], EOS] for number in numbers]).to(device)
        results = search(model, source, max_length=max_length, **dataclasses.asdict(options))
        for number, hypotheses in zip(numbers, results, strict=True):
            found[number] = hypotheses
    return found


# -- one step --------------------------------------------------------------------------------------


@dataclass
class Live:
    """Sentences that are still being written.

    Args:
        numbers: which of the batch they are.
        state: of the model.
        tokens: (sentences, beams, steps), <s> first.
        scores: (sentences, beams), log p so far; -inf where there is no hypothesis.
        limits: how many tokens each may have.
    """

    numbers: list[int]
    state: State
    tokens: Tensor
    scores: Tensor
    limits: Tensor

    @property
    def length(self) -> int:
        """How many tokens have been written, <s> not counted."""
        return self.tokens.shape[2] - 1


def _begin(model: Writer, source: Tensor, limits: Tensor) -> Live:
    """One hypothesis of each sentence: <s>."""
    tokens = torch.full((len(source), 1, 1), SOS, device=source.device)
    scores = torch.zeros(len(source), 1, device=source.device)
    return Live(list(range(len(source))), model.encode(source), tokens, scores, limits)


def _advance(model: Writer, live: Live, found: list[list[Hypothesis]], options: Options) -> Live:
    """Write one token more, put aside what is finished, and let sentences go that are done."""
    logits, state = model.step(live.tokens[:, :, -1], live.state)
    logits = logits.float()
    scores, parents, tokens = _choose(logits, live, options.beam)
    ended = (tokens == EOS) & (scores > NOTHING)
    history = live.tokens.gather(1, parents[..., None].expand(-1, -1, live.tokens.shape[2]))
    if bool(ended.any()):
        _put_aside(live, ended, history, scores, found, options)
        scores = scores.masked_fill(ended, NOTHING)
    history = torch.cat([history, tokens[..., None]], 2)
    open_ = _open(scores, live, found, options)
    after = Live(live.numbers, state, history, scores, live.limits)
    if len(open_) == len(live.numbers):
        after.state = state.follow(parents) if options.beam > 1 else state
        return after
    kept = torch.tensor(open_, dtype=torch.int64, device=scores.device)
    after = Live([live.numbers[at] for at in open_], state.keep(kept), history[kept], scores[kept], live.limits[kept])
    after.state = after.state.follow(parents[kept]) if options.beam > 1 and open_ else after.state
    return after


def _choose(logits: Tensor, live: Live, beam: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `beam` likeliest continuations of each sentence: scores, parents and tokens, (sentences, beam) each."""
    total = _sum_logs(logits)  # log p = logits - total, of which only the few best are wanted
    if not bool(total.isfinite().all()):
        raise JumokError(
            "the model's scores are NaN or infinite: its weights are damaged, or too large for this precision"
        )
    logits[..., NEVER] = NOTHING
    values, ids = _top(logits, beam)
    forced = live.limits <= live.length
    if bool(forced.any()):  # nothing but </s> may come
        ids[forced], values[forced] = EOS, NOTHING
        values[forced, :, 0] = logits[..., EOS][forced]
    values = values - total + live.scores[..., None]
    scores, order = values.flatten(1).sort(dim=1, descending=True, stable=True)
    order = order[:, :beam]
    return scores[:, :beam], order // ids.shape[2], ids.flatten(1).gather(1, order)


def _sum_logs(logits: Tensor) -> Tensor:
    """The log of the sum of exp, (..., 1), of so many rows at a time that a cache holds what is computed of them."""
    rows = logits.flatten(0, -2).split(max(1, CACHED // logits.shape[-1]))
    return torch.cat([some.logsumexp(-1) for some in rows]).view(*logits.shape[:-1], 1)


def _top(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The greatest `count` values and their ids, those of equal value by id."""
    width = logits.shape[-1]
    some = 1 if count == 1 else min(count + SPARE, width)
    ids = _likely(logits, some)
    values = logits if ids is None else logits.gather(-1, ids)
    if count == 1:
        values, first = values.max(-1, keepdim=True)  # the first of several
        return values, first if ids is None else ids.gather(-1, first)
    values, order = values.topk(some, -1)
    ids = order if ids is None else ids.gather(-1, order)
    by_id = ids.argsort(-1)
    values, order = values.gather(-1, by_id).sort(dim=-1, descending=True, stable=True)
    ids = ids.gather(-1, by_id).gather(-1, order)
    if some < width:  # topk may have left out the lower id of several that are equal to the last one
        torn = values[..., count - 1] == values[..., -1]
        if bool(torn.any()):
            sorted_values, sorted_ids = logits[torn].sort(dim=-1, descending=True, stable=True)
            values[torn], ids[torn] = sorted_values[:, :some], sorted_ids[:, :some]
    return values[..., :count], ids[..., :count]


def _likely(logits: Tensor, count: int) -> Tensor | None:
    """Ids among which are the greatest `count` values, in rising order; None: all, there is nothing to gain.

    The vocabulary is read once, for the greatest value of each block: the greatest values of all lie in the blocks that
    are greatest by it (the first ones, where several are equal), or behind the last whole block.
    """
    blocks = logits.shape[-1] // BLOCK
    if blocks < 4 * count or logits.numel() < MANY:
        return None
    whole = blocks * BLOCK
    greatest = logits[..., :whole].unflatten(-1, (blocks, BLOCK)).amax(-1)
    chosen = greatest.max(-1, keepdim=True).indices if count == 1 else greatest.topk(count, -1).indices.sort(-1).values
    inside = torch.arange(BLOCK, device=logits.device)
    ids = (chosen[..., None] * BLOCK + inside).flatten(-2)
    behind = torch.arange(whole, logits.shape[-1], device=logits.device)
    return torch.cat([ids, behind.expand(*ids.shape[:-1], -1)], -1)


def _put_aside(
    live: Live, ended: Tensor, history: Tensor, scores: Tensor, found: list[list[Hypothesis]], options: Options
) -> None:
    """Add what is finished to what was found, in order of the score; of equal ones, what came first."""
    for at, slot in ended.nonzero().tolist():
        score = options.score(float(scores[at, slot]), live.length + 1)
        hypothesis = Hypothesis(history[at, slot, 1:].tolist(), score)
        bisect.insort_right(found[live.numbers[at]], hypothesis, key=lambda other: -other.score)


def _open(scores: Tensor, live: Live, found: list[list[Hypothesis]], options: Options) -> list[int]:
    """Which sentences must go on; what was found of the others is cut to `n_best`."""
    best, limits = scores.max(1).values.tolist(), live.limits.tolist()
    goes_on = []
    for at, number in enumerate(live.numbers):
        done = best[at] == NOTHING or (options.enough is not None and len(found[number]) >= options.enough)
        if not done and len(found[number]) >= options.n_best:
            bound = options.score(best[at], limits[at] + 1)  # log p only falls, and the longest pays least for it
            done = bound <= found[number][options.n_best - 1].score
        if done:
            del found[number][options.n_best :]
        else:
            goes_on.append(at)
    return goes_on


def check_length(max_length: int | None, beam: int) -> None:
    """Refuse a length that makes no sense.

    Raises:
        JumokError: it is negative, or far beyond any sentence, by itself or for so many beams.
    """
    if max_length is None:
        return
    if not 0 <= max_length <= MOST_TOKENS:
        raise JumokError(f"max_length is 0 to {MOST_TOKENS:,}, got {max_length:,}")
    if max_length * beam > MOST_CELLS:
        raise JumokError(f"max_length x beam is {MOST_CELLS:,} at most, got {max_length:,} x {beam:,}")


# -- around it -------------------------------------------------------------------------------------


def _limits(model: Writer, source: Tensor, max_length: int | None) -> Tensor:
    """How many tokens each sentence may have, by its own length, so that its batch does not matter."""
    words = (source != PAD).sum(1) - 1
    limits = 2 * words + 20 if max_length is None else torch.full_like(words, max_length)
    longest: int | None = getattr(model, "longest", None)
    return limits if longest is None else limits.clamp(max=longest - 1)  # <s> has a place too


@contextmanager
def _in_eval(model: Writer) -> Iterator[None]:
    was_training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    try:
        yield
    finally:
        if isinstance(model, nn.Module):
            model.train(was_training)


def _in_precision(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "32")


def _batches(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Numbers of sentences, the longest first, in batches of at most so many tokens or of one sentence."""
    order = sorted((number for number, length in enumerate(lengths) if length), key=lambda number: -lengths[number])
    while order:
        count = max(1, tokens // (lengths[order[0]] + 1))
        yield order[:count]
        order = order[count:]


def _pad(rows: Sequence[Sequence[int]]) -> Tensor:
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows])
