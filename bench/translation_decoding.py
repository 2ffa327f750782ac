"""Translators at work, jumok beside JoeyNMT's: `python -m bench translation_decoding`.

The systems of `translation_training`, with random weights: greedy and beam search (5) for one batch of about 80
sentences of about 13 words. Both programs take exactly 14 steps for each sentence, as many as the mean target has
tokens with its </s>, and no sentence leaves the batch before. Ours: nothing but </s> may come at the last step
(`max_length` 13), and its bias is so low that no hypothesis has it earlier. Theirs: `min_output_length` and
`max_output_length` are 14. Each worker is a process of its own; they take turns, one batch each, and medians count.

*As shipped*: ours has the allocator settings of `jumok translate` (`jumok.machine`) and the peer has none; *same
allocator*: both have them. Peak memory is what Linux keeps (VmHWM) over what was resident once the model was built; for
the recurrent model of ours, numba and the compiled loops of its score are in it, which load at the first step.

The Transformer is also set beside CTranslate2, which gets the same weights (`bench.ctranslate_peer`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor

from bench import ctranslate_peer, joeynmt_peer, machine
from bench.measuring import LeftOut, Samples, device, interleaved, ratio
from bench.table import Part, Row
from bench.translation_training import (
    FORWARD,
    MEAN,
    RNN,
    SYSTEMS,
    TRANSFORMER,
    batches,
    memory_rows,
    ours,
    require_bf16,
    theirs,
)
from bench.workers import Step, Worker
from jumok.special_tokens import EOS
from jumok.systems.seq2seq import Seq2Seq
from jumok.systems.transformer import Transformer
from jumok.tasks.translate.decoding import search

STEPS = round(MEAN) + 1  # with </s>
BEAMS = (1, 5)
ROUNDS, WARM_UP = 9, 2
GOALS: Mapping[str, str] = {RNN: ">= 5", TRANSFORMER: ">= 10"}
UNLIKELY = -1e9
BOUND = "products at peak, and the weights read at every step"
OURS, USUAL, LOW = "ours", "ours, usual allocator", "ours, bf16"
PEER, PEER_KEPT = "JoeyNMT", "JoeyNMT, same allocator"
FAST = {"CTranslate2": "float32", "CTranslate2, int8": "int8"}
FAST_GOALS = {"float32": ">= 1", "int8": ""}
ALIKE = ">= 0.999"


# -- the work, in processes of their own --------------------------------------------------------


def sources() -> Tensor:
    """The batch, (sentences, tokens): that of the training's first ones whose length is nearest to the mean."""
    return min((batch.source for batch in batches(16)), key=lambda source: abs(source.shape[1] - STEPS))


def our_decoding(system: str, beam: int, low: bool) -> Step:
    """Write one batch with `search`; `low`: in bf16, as `jumok translate --precision bf16` does."""
    model, source = _endless(system).to(device()), sources().to(device())

    def step() -> None:
        found = search(model, source, beam=beam, max_length=STEPS - 1, precision="bf16" if low else "32")
        assert all(len(best.tokens) == STEPS - 1 for best, *_ in found)

    return step


def _endless(system: str) -> Seq2Seq | Transformer:
    """Our model, which ends no sentence by itself."""
    torch.manual_seed(0)
    model = ours(system).eval()
    with torch.no_grad():
        model.output.bias[EOS] = UNLIKELY
    return model


def fast_decoding(kind: str, beam: int) -> Step:
    """Write one batch with CTranslate2, on the weights of our Transformer."""
    model, source = _endless(TRANSFORMER), sources()
    assert isinstance(model, Transformer)
    translator = ctranslate_peer.load(model, kind)

    def step() -> None:
        found = ctranslate_peer.decode(translator, source, length=STEPS, beam=beam)
        assert all(len(tokens) == STEPS for tokens in found)

    return step


def their_decoding(system: str, beam: int) -> Step:
    """Write one batch with JoeyNMT's `search`."""
    torch.manual_seed(0)
    model, source = theirs(system).to(device()), sources().to(device())

    def step() -> None:
        found = joeynmt_peer.decode(model, source, length=STEPS, beam=beam)
        assert found.shape == (len(source), STEPS)
        assert not bool((found[:, :-1] == EOS).any())

    return step


# -- what is measured ---------------------------------------------------------------------------


def run(threads: int = 2) -> Iterator[Part]:
    """All rows of this bench."""
    for system in SYSTEMS:
        for beam in BEAMS:
            what = f"{system}, {'greedy' if beam == 1 else f'beam {beam}'}"
            yield f"decoding, {what}", partial(_rows, system, beam, what, threads)
            yield f"decoding in bf16, {what}", partial(_low_rows, system, beam, what, threads)
            if system == TRANSFORMER:
                yield f"decoding beside CTranslate2, {what}", partial(_fast_rows, beam, what, threads)


def _rows(system: str, beam: int, what: str, threads: int) -> Iterator[Row]:
    workers = {
        OURS: Worker(our_decoding, system, beam, False, threads=threads, keep=True),
        USUAL: Worker(our_decoding, system, beam, False, threads=threads, keep=False),
    }
    if find_spec("joeynmt"):
        workers[PEER] = Worker(their_decoding, system, beam, threads=threads, keep=False)
        workers[PEER_KEPT] = Worker(their_decoding, system, beam, threads=threads, keep=True)
    times, memory, spent = _timed(workers)
    limit = len(sources()) / least_seconds(system, beam)
    if PEER in times:
        for how, peer in (("as shipped", PEER), ("same allocator", PEER_KEPT)):
            yield replace(_faster(f"{what}, {how}", times, (OURS, peer), GOALS[system], limit), spent=spent)
    else:
        note = "JoeyNMT is not installed: make bench-peers brings it"
        rate = len(sources()) / times[OURS]
        yield Row(f"sentences/s in decoding, {what}", 1.0, "", rate, None, "sentences/s", note, limit, BOUND)
    yield from memory_rows(f"in decoding, {what}", memory, PEER, ">= 1")


def _low_rows(system: str, beam: int, what: str, threads: int) -> Iterator[Row]:
    require_bf16()
    sides = {LOW: True, OURS: False}
    times, *_ = _timed({
        name: Worker(our_decoding, system, beam, low, threads=threads, keep=True) for name, low in sides.items()
    })  # fmt: skip
    count = len(sources())
    claim = f"sentences/s in decoding, bf16 / float32, {what}"
    yield Row(claim, ratio(times, OURS, LOW), "", count / times[LOW], count / times[OURS], "sentences/s")


def _fast_rows(beam: int, what: str, threads: int) -> Iterator[Row]:
    if find_spec("ctranslate2") is None:
        raise LeftOut("CTranslate2 is not installed: make bench-peers brings it")
    workers = {OURS: Worker(our_decoding, TRANSFORMER, beam, False, threads=threads, keep=True)}
    for name, kind in FAST.items():
        workers[name] = Worker(fast_decoding, kind, beam, threads=threads, keep=False)
    times, _, spent = _timed(workers)
    limit, count = len(sources()) / least_seconds(TRANSFORMER, beam), len(sources())
    for name, kind in FAST.items():
        claim, rates = f"sentences/s in decoding, jumok / {name}, {what}", (count / times[OURS], count / times[name])
        goal, found = FAST_GOALS[kind], ratio(times, name, OURS)
        yield Row(claim, found, goal, *rates, "sentences/s", "", limit, BOUND, spent)
    share = _share_alike(beam)
    note = f"of {count}, in float32; equal scores may be told apart otherwise"
    yield Row(f"sentences that CTranslate2 writes alike, {what}", share, ALIKE, share, 1, "", note)


def _share_alike(beam: int) -> float:
    """Of the sentences, without the last token, which is our end sign."""
    model, source = _endless(TRANSFORMER), sources()
    assert isinstance(model, Transformer)
    theirs = ctranslate_peer.decode(ctranslate_peer.load(model, "float32"), source, length=STEPS - 1, beam=beam)
    mine = [best.tokens for best, *_ in search(model, source, beam=beam, max_length=STEPS - 1)]
    return sum(one == other for one, other in zip(mine, theirs, strict=True)) / len(mine)


def _timed(workers: dict[str, Worker]) -> tuple[Samples, dict[str, tuple[float, float]], str]:
    """Seconds by worker, the memory of those whose memory counts, and where the time of ours goes."""
    with ExitStack() as stack:
        started = {name: stack.enter_context(worker) for name, worker in workers.items()}
        times = interleaved({name: worker.step for name, worker in started.items()}, ROUNDS, warm_up=WARM_UP)
        memory = {name: started[name].memory() for name in (OURS, USUAL, PEER) if name in started}
        return times, memory, started[OURS].tell_spent()


def least_seconds(system: str, beam: int) -> float:
    """Seconds of a batch at best: products at peak, and the weights read at every step."""
    source = (sources() != 0).sum(1).double()
    once = FORWARD[system](source, torch.zeros_like(source))
    written = FORWARD[system](source, torch.full_like(source, STEPS)) - once
    products = 2 * float((once + beam * written).sum()) / machine.peak()
    weights = sum(4 * parameter.numel() for name, parameter in ours(system).named_parameters() if "embed" not in name)
    return products + STEPS * weights / machine.copy_rate(2 * weights)


def _faster(what: str, times: Samples, sides: tuple[str, str], goal: str, limit: float) -> Row:
    one, other = sides
    count, claim = len(sources()), f"sentences/s in decoding, jumok / JoeyNMT, {what}"
    rates, note = (count / times[one], count / times[other]), f"{count} sentences, {STEPS} steps each"
    return Row(claim, ratio(times, other, one), goal, *rates, "sentences/s", note, limit, BOUND)
