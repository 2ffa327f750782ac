"""Join the steps of a decoder into one alignment: which row of which step belongs to which output sequence.

A decoder runs once per token, for all hypotheses at once, and a beam search puts the hypotheses into other rows between
the steps without a word. What tells is what the model brings along: either the whole prefix is fed again, or one token
is, and then the self-attention's cached keys of a row are copies of those it had before, in whichever row that was. So
each row's tokens so far are known at each step, and a step's weights depend on nothing else: an output's row is the one
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

    @property
    def marks(self) -> Tensor | None:
        """(rows, keys, numbers) of the first self-attention's keys, where they are known."""
        return self.calls[0].marks if looks_back(self.calls[0], self.first) else None


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
    for generation, padding in _split_generations(calls, fed):
        lengths = (filling if filling.padding is not None else replace(filling, padding=padding)).lengths(output)
        sentences = _count_sentences(generation[0], calls, len(output))
        if sentences is None:
            continue
        rows = _find_rows(generation, output, lengths, sentences)
        if isinstance(rows, list):
            return _join_steps(generation, rows, output, lengths)
        found, best = True, max(best, rows, key=lambda missing: missing.shared)
    raise _explain_not_found(output, best) if found else _explain_no_decoder(len(output), bool(fed))


def looks_back(call: Call, first: int) -> bool:
    """Whether a call attends to nothing after its own place, as a decoder's attention to itself does."""
    if call.attended.shape[3] <= first:
        return False
    return not bool(call.attended.weights([0])[..., first + 1 :].any())


# -- from calls to generations ------------------------------------------------------------------


def _split_generations(calls: Sequence[Call], fed: Sequence[Fed]) -> Iterator[tuple[list[Step], int | None]]:
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


def _make_step(ids: Tensor, prefix: Tensor, first: int, calls: Sequence[Call]) -> Step | None:
    """A step of the decoder; an encoder that ran since the ids were seen is left out."""
    rows, tokens = ids.shape
    fitting = [call for call in calls if (call.attended.shape[0], call.attended.shape[2]) == (rows, tokens)]
    start = next((number for number, call in enumerate(fitting) if looks_back(call, first)), 0)
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
    old, new = before.marks, step.marks
    if old is None and new is None:
        return list(range(rows))
    if new is None or new.shape[1] <= total:  # its keys do not reach back to the start: another generation began
        return None
    if old is None:  # a prompt of several tokens, which is not marked and lies alike in all rows of a sentence
        return list(range(rows))
    known = {past: row for row, past in enumerate(_hash_pasts(old, total))}
    parents = [known.get(past) for past in _hash_pasts(new, total)]
    return [row for row in parents if row is not None] if None not in parents else None


def _hash_pasts(marks: Tensor, total: int) -> list[bytes]:
    """What each row has of the tokens so far, as something that can be looked up bit for bit."""
    return [row.tobytes() for row in marks[:, :total].float().cpu().contiguous().numpy()]


# -- from a generation to the rows of the outputs -----------------------------------------------


def _count_sentences(step: Step, calls: Sequence[Call], outputs: int) -> int | None:
    """How many sentences the rows and the outputs belong to: as many as the encoder was given, if one was seen."""
    own, rows = set(step.modules), len(step.prefix)
    before = [call for call in calls if call.number < step.calls[0].number and call.module not in own]
    counts = [*(call.attended.shape[0] for call in before[-1:]), outputs]
    return next((count for count in counts if rows % count == 0 and outputs % count == 0), None)


def _find_rows(steps: Sequence[Step], output: Tensor, lengths: Tensor, sentences: int) -> list[Tensor] | Missing:
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
        rows.append(match.int().argmax(1))
        covered = total
    needed = lengths - 1 > covered
    return Missing(int(needed.int().argmax()), covered) if needed.any() else rows


def _number_blocks(count: int, sentences: int, device: torch.device) -> Tensor:
    return torch.arange(count, device=device) // (count // sentences)


# -- the weights --------------------------------------------------------------------------------


def _join_steps(steps: Sequence[Step], rows: Sequence[Tensor], output: Tensor, lengths: Tensor) -> tuple[Tensor, Call]:
    steps = steps[: len(rows)]
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

    A source of one token and an output of one step have nothing that lies further: a layer's second call is the one.
    """
    ends = (steps[0], steps[-1])
    count = len(steps[0].calls)
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


def _explain_no_decoder(outputs: int, fed: bool) -> JumokError:
    if not fed:
        return JumokError(
            "no token ids were seen in the `with` block: run generate() of an encoder-decoder inside it, fed with ids, "
            "not with embeddings of your own"
        )
    return JumokError(
        f"no decoder was seen that decoded {outputs} outputs, or a divisor or multiple of that: run generate() in the "
        "`with` block and pass all that it returned"
    )


def _explain_not_found(output: Tensor, missing: Missing) -> JumokError:
    return JumokError(
        f"output {missing.output} shares only its first {missing.shared} of {output.shape[1]} tokens with a hypothesis "
        "that was decoded in the `with` block: pass what that generate() returned, the decoder's start token first; "
        "if the rest only fills the end, name its id with padding=ID"
    )
