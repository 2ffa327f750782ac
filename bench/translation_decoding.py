"""Translators at work, jumok beside JoeyNMT's: `python -m bench translation_decoding`.

The systems of `translation_training`, with random weights: greedy and beam search (5) for one batch of about 80
sentences of about 13 words. Both programs take exactly 14 steps for each sentence, as many as the mean target has
tokens with its </s>, and no sentence leaves the batch before. Ours: nothing but </s> may come at the last step
(`max_length` 13), and its bias is so low that no hypothesis has it earlier. Theirs: `min_output_length` and
`max_output_length` are 14. Each worker is a process of its own; they take turns, one batch each, and medians count.

*As shipped*: ours has the allocator settings of `jumok translate` (`jumok.machine`) and the peer has none; *same
allocator*: both have them. Peak memory is what Linux keeps (VmHWM) over what was resident once the model was built; for
the recurrent model of ours, numba and the compiled loops of its score are in it, which load at the first step.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import torch
from torch import Tensor

from bench import joeynmt_peer
from bench.table import Row, interleaved
from bench.translation_training import MEAN, RNN, SYSTEMS, TRANSFORMER, batches, memory_rows, ours, theirs
from bench.workers import Step, Worker
from jumok.special_tokens import EOS
from jumok.tasks.translate.decoding import search

STEPS = round(MEAN) + 1  # with </s>
BEAMS = (1, 5)
ROUNDS, WARM_UP = 9, 2
GOALS: Mapping[str, str] = {RNN: ">= 5", TRANSFORMER: ">= 10"}
UNLIKELY = -1e9
OURS, USUAL, LOW = "ours", "ours, usual allocator", "ours, bf16"
PEER, PEER_KEPT = "JoeyNMT", "JoeyNMT, same allocator"


# -- the work, in processes of their own --------------------------------------------------------


def sources() -> Tensor:
    """The batch, (sentences, tokens): that of the training's first ones whose length is nearest to the mean."""
    return min((batch.source for batch in batches(16)), key=lambda source: abs(source.shape[1] - STEPS))


def our_decoding(system: str, beam: int, low: bool) -> Step:
    """Write one batch with `search`; `low`: in bf16, as `jumok translate --precision bf16` does."""
    torch.manual_seed(0)
    model, source = ours(system).eval(), sources()
    with torch.no_grad():
        model.output.bias[EOS] = UNLIKELY

    def step() -> None:
        found = search(model, source, beam=beam, max_length=STEPS - 1, precision="bf16" if low else "32")
        assert all(len(best.tokens) == STEPS - 1 for best, *_ in found)

    return step


def their_decoding(system: str, beam: int) -> Step:
    """Write one batch with JoeyNMT's `search`."""
    torch.manual_seed(0)
    model, source = theirs(system), sources()

    def step() -> None:
        found = joeynmt_peer.decode(model, source, length=STEPS, beam=beam)
        assert found.shape == (len(source), STEPS)
        assert not bool((found[:, :-1] == EOS).any())

    return step


# -- what is measured ---------------------------------------------------------------------------


def run(threads: int = 2) -> list[Row]:
    """All rows of this bench."""
    return [row for system in SYSTEMS for beam in BEAMS for row in _rows(system, beam, threads)]


def _rows(system: str, beam: int, threads: int) -> list[Row]:
    with ExitStack() as stack:
        workers = {name: stack.enter_context(worker) for name, worker in _workers(system, beam, threads).items()}
        times = interleaved({name: worker.step for name, worker in workers.items()}, ROUNDS, warm_up=WARM_UP)
        memory = {name: workers[name].memory() for name in (OURS, USUAL, PEER)}
    what = f"{system}, {'greedy' if beam == 1 else f'beam {beam}'}"
    count = len(sources())
    return [
        _faster(f"{what}, as shipped", times, count, OURS, PEER, GOALS[system]),
        _faster(f"{what}, same allocator", times, count, OURS, PEER_KEPT, GOALS[system]),
        _faster(f"{what}, jumok in bf16, as shipped", times, count, LOW, PEER),
        *memory_rows(f"in decoding, {what}", memory, PEER),
    ]


def _workers(system: str, beam: int, threads: int) -> dict[str, Worker]:
    return {
        OURS: Worker(our_decoding, system, beam, False, threads=threads, keep=True),
        USUAL: Worker(our_decoding, system, beam, False, threads=threads, keep=False),
        LOW: Worker(our_decoding, system, beam, True, threads=threads, keep=True),
        PEER: Worker(their_decoding, system, beam, threads=threads, keep=False),
        PEER_KEPT: Worker(their_decoding, system, beam, threads=threads, keep=True),
    }


def _faster(what: str, times: Mapping[str, float], count: int, one: str, other: str, goal: str = "") -> Row:
    claim = f"sentences/s in decoding, jumok / JoeyNMT, {what}"
    note = f"{count} sentences, {STEPS} steps each"
    return Row(claim, times[other] / times[one], goal, count / times[one], count / times[other], "sentences/s", note)
