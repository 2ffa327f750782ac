"""Join the steps of a decoder into one alignment: which row of which step belongs to which output sequence.

A decoder runs once per token, for all hypotheses at once, and a beam search puts the hypotheses into other rows between
the steps without a word. What tells is what the model brings along: either the whole prefix is fed again, or one token
is, and then the self-attention's cached keys of a row are the tokens it had before, in whichever row that was. So each
row's tokens so far are known at each step, and a step's weights depend on nothing else: an output's row is the one
that had the output's first tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from jumok.errors import JumokError
from jumok.watching.calls import Call, Fed

Parents = list[int]


@dataclass(frozen=True)
class Step:
    """One run of the decoder.

    Args:
        prefix: (rows, tokens) of ids, all that each row had been fed, this step's token the last.
        first: the place in the prefix of the first query.
        calls: the decoder's attention calls.
    """

    prefix: Tensor
    first: int
    calls: list[Call]

    @property
    def modules(self) -> list[str]:
        """Who attended, in order."""
        return [call.module for call in self.calls]

    def find_widest(self) -> int | None:
        """Which self-attention keeps the most keys, the first of several; None where they are not known."""
        first = self.calls[0]
        own = looks_back(first, self.first) or looks_at_itself(first)  # a prompt may look at all of itself
        if not own or first.tokens.keys is None:
            return None
        if first.tokens.keys.shape[1] >= max(self.first + 1, self.prefix.shape[1]):
            return 0
        others = [number for number, call in enumerate(self.calls) if looks_at_itself(call)]  # the first slid a window
        return max(others, key=lambda number: self.calls[number].attended.shape[3], default=0)


@dataclass(frozen=True)
class Filling:
    """What may stand after the last token of an output.

    Args:
        padding: the id of padding; None where it is not known.
        ends: the ids that end an output; some searches repeat them where others put padding.
    """

    padding: int | None = None
    ends: tuple[int, ...] = ()

    @classmethod
    def of(cls, model: object) -> Filling:
        """As a model's config has it."""
        config = getattr(model, "config", None)
        padding, ends = getattr(config, "pad_token_id", None), getattr(config, "eos_token_id", None)
        return cls(padding, tuple(ends) if isinstance(ends, list | tuple) else () if ends is None else (ends,))

    def lengths(self, output: Tensor) -> Tensor:
        """How many tokens each output has, the start and one end counted, what fills its row not."""
        ids = output.tolist()
        return torch.tensor([self._length(row) for row in ids], device=output.device)

    def _length(self, ids: list[int]) -> int:
        length = len(ids)
        if self.padding not in self.ends:
            while length > 1 and ids[length - 1] == self.padding:
                length -= 1
        while length > 2 and ids[length - 1] == ids[length - 2] and ids[length - 1] in self.ends:
            length -= 1
        return length


@dataclass(frozen=True)
class Missing:
    """The first output that a generation does not hold, and how many of its tokens it shares."""

    output: int
    shared: int


def join(calls: Sequence[Call], fed: Sequence[Fed], output: Tensor, filling: Filling) -> tuple[Tensor, Call]:
    """Cross-attention of the steps that produced each token of each output.

    Args:
        calls: what was seen, in order.
        fed: the ids that embeddings were given meanwhile.
        output: (outputs, tokens) of ids, the start token first; the outputs of a sentence one after the other.
        filling: what fills the ends of outputs; without a padding id, that of the decoder's embedding counts.
    Returns:
        weights: (outputs, layers, heads, tokens - 1, keys); zeros where an output has ended.
        call: one of the calls, for what else it knows of the keys.
    Raises:
        JumokError: no decoder was seen, or an output is not among its hypotheses.
    """
    found, best = False, Missing(0, 0)
    for generation, padding in split_generations(calls, fed):
        lengths = (filling if filling.padding is not None else replace(filling, padding=padding)).lengths(output)
        sentences = _count_sentences(generation, len(output))
        if sentences is None:
            continue
        for given, counts, forced in _list_readings(generation[0], output, lengths):
            rows = find_rows(generation, given, counts, sentences)
            if isinstance(rows, list):
                weights, call = _join_steps(generation, rows, given, counts)
                return weights[..., forced:, :], call
            found, best = True, max(best, rows, key=lambda missing: missing.shared)
    if not found:
        raise explain_no_decoder(len(output), bool(fed))
    raise explain_not_found(output, best, several=took_several(calls, fed))


def _list_readings(step: Step, output: Tensor, lengths: Tensor) -> Iterator[tuple[Tensor, Tensor, int]]:
    """The output as it is, and with the tokens before it that the decoder was made to begin with, as speech models are.

    Yields:
        The output, its lengths, and how many rows at the beginning are of forced tokens.
    """
    yield output, lengths, 0
    forced = step.prefix.unique(dim=0)
    if len(forced) == 1:
        front = forced.to(output.device).expand(len(output), -1)
        yield torch.cat([front, output], 1), lengths + front.shape[1], front.shape[1] - 1


def looks_back(call: Call, first: int) -> bool:
    """Whether a call attends to nothing after its own place, as a decoder's attention to itself does."""
    if call.attended.shape[3] <= first:
        return False
    return not bool(call.attended.weights([0])[..., first + 1 :].any())


def looks_at_itself(call: Call) -> bool:
    """Whether the tokens that ask are among the keys."""
    queries, keys = call.tokens.queries, call.tokens.keys
    if queries is None or keys is None:
        return False
    return bool((queries[:, :, None] == keys[:, None]).any(-1).all())


# -- from calls to generations ------------------------------------------------------------------


def split_generations(calls: Sequence[Call], fed: Sequence[Fed]) -> Iterator[tuple[list[Step], int | None]]:
    """Runs of steps that continue each other, the latest first, with the padding id of their embedding."""
    for table in dict.fromkeys(given.table for given in reversed(fed)):
        of_table = [given for given in fed if given.table == table]
        found: list[list[Step]] = []
        for given, inside in _pair_calls(of_table, calls):
            following = _continue_step(found[-1][-1], given.ids, inside) if found else None
            if following is not None:
                found[-1].append(following)
            elif (step := _make_step(given.ids, given.ids, 0, inside)) is not None:
                found.append([step])
        padding = of_table[0].padding
        yield from ((steps, padding) for steps in reversed(found))


def _pair_calls(fed: Sequence[Fed], calls: Sequence[Call]) -> Iterator[tuple[Fed, list[Call]]]:
    """The ids given to one embedding, each with the calls that followed until the next."""
    numbers = torch.tensor([call.number for call in calls])
    starts = torch.searchsorted(numbers, torch.tensor([given.before for given in fed])).tolist()
    for given, start, end in zip(fed, starts, [*starts[1:], len(calls)], strict=True):
        if end > start:
            yield given, list(calls[start:end])


def took_several(calls: Sequence[Call], fed: Sequence[Fed]) -> bool:
    """Whether some step took several tokens behind those that a cache kept, as assisted decoding does."""
    for table in dict.fromkeys(given.table for given in fed):
        for given, inside in _pair_calls([each for each in fed if each.table == table], calls):
            count = given.ids.shape[1]
            own = (call for call in inside if call.attended.shape[2] == count < call.attended.shape[3])
            if count > 1 and any(looks_at_itself(call) for call in own):
                return True
    return False


def _make_step(ids: Tensor, prefix: Tensor, first: int, calls: Sequence[Call]) -> Step | None:
    """A step of the decoder; an encoder that ran since the ids were seen is left out."""
    rows, tokens = ids.shape
    fitting = [call for call in calls if (call.attended.shape[0], call.attended.shape[2]) == (rows, tokens)]
    starts = (n for n, call in enumerate(fitting) if looks_back(call, first) or (first and looks_at_itself(call)))
    start = next(starts, 0)
    return Step(prefix, first, fitting[start:]) if fitting else None


def _continue_step(before: Step, ids: Tensor, calls: Sequence[Call]) -> Step | None:
    """The step that continues another, None if this is the first of a new generation."""
    rows, total = before.prefix.shape
    if ids.shape == (rows, total + 1):  # the whole prefix is fed again
        known = {tuple(row) for row in before.prefix.tolist()}
        continues = all(tuple(row[:-1]) in known for row in ids.tolist())
        step = _make_step(ids, ids, 0, calls) if continues else None
    elif ids.shape == (rows, 1):
        step = _make_step(ids, ids, total, calls)
        parents = None if step is None else _find_parents(before, step)
        if step is not None and parents is not None:
            step = Step(torch.cat([before.prefix[parents], ids], 1), total, step.calls)
        else:
            step = None
    else:
        return None
    return step if step is not None and step.modules == before.modules else None


def _find_parents(before: Step, step: Step) -> Parents | None:
    """Which row of the step before each row continues: that with the same keys. None: some row continues none.

    Where no keys are known, rows are taken to stay in their places, as they do without a beam search.
    """
    rows, total = before.prefix.shape
    number = step.find_widest()
    old, new = (None if number is None else each.calls[number].tokens.keys for each in (before, step))
    old = None if before.find_widest() is None else old
    if old is None and new is None:
        return list(range(rows))
    if old is None or new is None or (new.shape[1] <= total and new.shape[1] < 2):
        return None
    if new.shape[1] <= total:  # a window slid, or another generation began, whose tokens are others
        old, new, total = old[:, : before.prefix.shape[1]], new[:, :-1], min(old.shape[1], new.shape[1] - 1)
        old, new = old[:, -total:], new[:, -total:]
    known = {past: row for row, past in reversed(list(enumerate(_list_pasts(old, total))))}
    parents = [known.get(past) for past in _list_pasts(new, total)]
    return [row for row in parents if row is not None] if None not in parents else None


def _list_pasts(keys: Tensor, total: int) -> list[tuple[int, ...]]:
    """The tokens so far of each row."""
    return [tuple(row) for row in keys[:, :total].tolist()]


# -- from a generation to the rows of the outputs -----------------------------------------------


def _count_sentences(steps: Sequence[Step], outputs: int) -> int | None:
    """How many sentences the rows and the outputs belong to: as many as there are sources that the rows look at."""
    rows = len(steps[0].prefix)
    sources = [steps[0].calls[number].tokens.keys for number in _find_cross_attention(steps)]
    counts = [len(keys.unique(dim=0)) for keys in sources[:1] if keys is not None and len(keys) == rows]
    return next((count for count in (*counts, outputs) if rows % count == 0 and outputs % count == 0), None)


def find_rows(steps: Sequence[Step], output: Tensor, lengths: Tensor, sentences: int) -> list[Tensor] | Missing:
    """For each step the row that held each output's tokens until then."""
    rows: list[Tensor] = []
    covered = 0
    sentence_of_row = _number_blocks(len(steps[0].prefix), sentences, output.device)
    same = _number_blocks(len(output), sentences, output.device)[:, None] == sentence_of_row
    for step in steps:
        total, needed = step.prefix.shape[1], lengths - 1 > covered
        if not needed.any() or total > output.shape[1]:
            break
        prefix = step.prefix.to(output.device)
        match = same & (prefix == output[:, None, :total]).all(-1)
        wrong = needed & ~match.any(1)
        if wrong.any():
            return Missing(int(wrong.int().argmax()), covered)
        rows.append(_choose_rows(match))
        covered = total
    needed = lengths - 1 > covered
    return Missing(int(needed.int().argmax()), covered) if needed.any() else rows


def _choose_rows(match: Tensor) -> Tensor:
    """The row of each output, of (outputs, rows) that hold its tokens: its own where that does, else the first."""
    chosen = match.int().argmax(1)
    if match.shape[0] != match.shape[1]:
        return chosen
    return torch.where(match.diagonal(), torch.arange(len(match), device=match.device), chosen)


def _number_blocks(count: int, sentences: int, device: torch.device) -> Tensor:
    return torch.arange(count, device=device) // (count // sentences)


# -- the weights --------------------------------------------------------------------------------


def _join_steps(steps: Sequence[Step], rows: Sequence[Tensor], output: Tensor, lengths: Tensor) -> tuple[Tensor, Call]:
    steps = steps[: len(rows)]
    if not steps:
        raise JumokError("no output has a token after its start token, so no step looked anywhere for it")
    cross = _find_cross_attention(steps)
    if not cross:
        raise JumokError(
            "the output was found, but its decoder looks at nothing but itself: there is no source to align"
        )
    layers = [_join_layer(steps, rows, number, output.shape[1] - 1) for number in cross]
    if len({layer.shape for layer in layers}) > 1:
        shapes = ", ".join(str(tuple(layer.shape)) for layer in layers)
        raise JumokError(f"the decoder's layers do not all look at the same source (weights of shapes {shapes})")
    weights = torch.stack(layers, 1)
    ended = torch.arange(output.shape[1] - 1, device=weights.device) >= lengths[:, None].to(weights.device) - 1
    return weights.masked_fill_(ended[:, None, None, :, None], 0.0), steps[0].calls[cross[0]]


def _find_cross_attention(steps: Sequence[Step]) -> list[int]:
    """Which of a step's calls look at the source: those that look further than the tokens fed until then.

    A call whose keys hold the tokens that ask looks at its own sequence. Where tokens are not known, that is told by
    what is hidden; a source of one token and an output of one step hide nothing: a layer's second call is the one.
    """
    ends = (steps[0], steps[-1])
    count = len(steps[0].calls)
    if all(call.tokens.keys is not None for call in steps[0].calls):
        return [n for n in range(count) if not all(looks_at_itself(step.calls[n]) for step in ends)]
    cross = [n for n in range(count) if not all(looks_back(step.calls[n], step.first) for step in ends)]
    single = all(call.attended.shape[2:] == (1, 1) for call in steps[0].calls) and len(steps) == 1
    return cross or (list(range(1, count, 2)) if single else [])


def _join_layer(steps: Sequence[Step], rows: Sequence[Tensor], number: int, length: int) -> Tensor:
    """(outputs, heads, length, keys): the rows of all steps of one layer."""
    parts = []
    covered = 0
    for step, chosen in zip(steps, rows, strict=True):
        total = step.prefix.shape[1]
        attended = step.calls[number].attended
        weights = attended.weights(list(range(covered - step.first, total - step.first)))
        parts.append(weights[chosen.to(weights.device)])
        covered = total
    if len({part.shape[3] for part in parts}) > 1:
        raise JumokError(f"{steps[0].modules[number]} looked at sources of different lengths from step to step")
    joined = torch.cat(parts, 2)[:, :, :length]
    return torch.nn.functional.pad(joined, (0, 0, 0, length - joined.shape[2]))


# -- errors -------------------------------------------------------------------------------------


def explain_no_decoder(outputs: int, fed: bool) -> JumokError:
    """What to say where no decoder was seen."""
    if not fed:
        return JumokError(
            "no token ids were seen in the `with` block: run generate() of an encoder-decoder inside it, fed with ids, "
            "not with embeddings of your own"
        )
    return JumokError(
        f"no decoder was seen that decoded {outputs} outputs, or a divisor or multiple of that: run generate() in the "
        "`with` block and pass all that it returned"
    )


def explain_not_found(output: Tensor, missing: Missing, *, several: bool) -> JumokError:
    """What to say of an output that is not among those that were seen."""
    if several:
        return JumokError(
            "some steps took several tokens at once behind those that the cache kept (assisted or prompt look-up "
            "decoding, a prompt in chunks, or a cache that held the beginning of a prompt before), and such steps are "
            "not joined: run generate() without that"
        )
    return JumokError(
        f"output {missing.output} shares only its first {missing.shared} of {output.shape[1]} tokens with a hypothesis "
        "that was decoded in the `with` block: pass what that generate() returned, the decoder's start token first; "
        "if the rest only fills the end, name its id with padding=ID"
    )
