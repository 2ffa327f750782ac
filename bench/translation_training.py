"""Training steps of translators, jumok beside JoeyNMT's: `python -m bench translation_training`.

Two systems, each with the same sizes in both programs and vocabularies of 8,000: an LSTM with additive attention
(embeddings 256, hidden 512, encoder in both directions) and a small pre-norm Transformer (width 256, 3 layers, 4 heads,
MLP 1024, embeddings tied to the output). Sentences are random ids with lengths as those of Multi30k de-en, in batches
of about 80 pairs that `PairBatches` makes; all workers get the same ones in the same order.

A step of ours is that of `jumok train`: decode, the output layer for real places only, cross entropy with label
smoothing 0.1, backward, gradients clipped to norm 1, fused AdamW. A step of theirs is that of JoeyNMT's training loop:
its batch with its sorting, its loss with the same smoothing, backward, the same clipping, its Adam. Each worker is a
process of its own; they take turns, one step each, and medians count.

*As shipped*: ours has the allocator settings of `jumok train` (`jumok.machine`) and the peer has none; the peer's
Transformer, which has one dropout for everything, drops attention weights too, as ours does only if asked. *Same
allocator*: both have the settings, and that dropout is off, so that only the models differ. Where JoeyNMT's recurrent
model is another one: see `joeynmt_peer`.

Work is counted as 2 operations per multiply-add of the products of matrices, the backward pass as twice the forward
pass, for tokens that are no padding. Peak memory is what Linux keeps (VmHWM) over what was resident once model and
optimiser were built; for the recurrent model of ours, numba and the compiled loops of its score are in it.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from bench import joeynmt_peer, machine, torchvision_names
from bench.measuring import LeftOut, Samples, device, interleaved, ratio
from bench.table import Part, Row
from bench.vit_training import share_of_peak
from bench.workers import Step, Worker
from jumok.data.pairs.batches import PairBatch, PairBatches
from jumok.mechanisms.kernels.timing import settle
from jumok.special_tokens import EOS, PAD
from jumok.systems.seq2seq import Seq2Seq, Seq2SeqConfig
from jumok.systems.transformer import Transformer, TransformerConfig

VOCABULARY = 8000
MEAN, DEVIATION, CORRELATION = 13.0, 4.0, 0.85
SHORTEST, LONGEST = 3, 40
PAIRS = 4000
PLACES = 1200  # of a batch and side: about 80 pairs
ROUNDS, WARM_UP = 13, 2
RNN, TRANSFORMER = "RNN with additive attention", "Transformer"
GOALS = {RNN: ">= 2", TRANSFORMER: ">= 1.5"}
OF_PEAK = {RNN: ">= 0.85", TRANSFORMER: ">= 0.75"}
SYSTEMS = (RNN, TRANSFORMER)
RECURRENT = joeynmt_peer.Recurrent(embedding=256, hidden=512, memory=512, dropout=0.3)
ATTENDING = joeynmt_peer.Transformer(width=256, layers=3, heads=4, feed_forward=1024, dropout=0.1)
OURS, USUAL, LOW, PEER, PEER_KEPT = "ours", "ours, usual allocator", "ours, bf16", "JoeyNMT", "JoeyNMT, same allocator"


# -- sentences ----------------------------------------------------------------------------------


def lengths(count: int, seed: int = 0) -> tuple[list[int], list[int]]:
    """Tokens of the sources and targets of so many pairs, as long as those of Multi30k de-en: rounded normal ones."""
    covariance = DEVIATION**2 * np.array([[1, CORRELATION], [CORRELATION, 1]])
    drawn = np.random.default_rng(seed).multivariate_normal([MEAN, MEAN], covariance, count)
    sources, targets = drawn.round().astype(int).clip(SHORTEST, LONGEST).T.tolist()
    return sources, targets


def sentences(each: Sequence[int], seed: int) -> list[list[int]]:
    """Random ids, none of them a symbol."""
    chance = np.random.default_rng(seed)
    return [chance.integers(EOS + 1, VOCABULARY, length).tolist() for length in each]


def batches(count: int) -> list[PairBatch]:
    """The first batches of an epoch."""
    sources, targets = lengths(PAIRS)
    made = iter(PairBatches(sentences(sources, 1), sentences(targets, 2), tokens=PLACES, shuffle=True))
    return [next(made) for _ in range(count)]


# -- models -------------------------------------------------------------------------------------


def ours(system: str) -> Seq2Seq | Transformer:
    if system == RNN:
        return Seq2Seq(
            Seq2SeqConfig(
                source_vocabulary=VOCABULARY,
                target_vocabulary=VOCABULARY,
                cell="lstm",
                score="additive",
                embedding=RECURRENT.embedding,
                hidden=RECURRENT.hidden,
                encoder_hidden=RECURRENT.memory,
                dropout=RECURRENT.dropout,
            )
        )
    return Transformer(
        TransformerConfig(
            source_vocabulary=VOCABULARY,
            target_vocabulary=VOCABULARY,
            width=ATTENDING.width,
            layers=ATTENDING.layers,
            heads=ATTENDING.heads,
            expansion=ATTENDING.feed_forward / ATTENDING.width,
            dropout=ATTENDING.dropout,
        )
    )


def theirs(system: str) -> nn.Module:
    model: nn.Module = joeynmt_peer.build(RECURRENT if system == RNN else ATTENDING, VOCABULARY, VOCABULARY)
    return model


# -- the work, in processes of their own --------------------------------------------------------


def our_training(system: str, low: bool) -> Step:
    """A step of `jumok train`, in float32 or, if `low`, with bfloat16 products (`--precision bf16`)."""
    torchvision_names.define()  # torchmetrics imports it where it is
    from jumok.tasks.running.optimiser import group_parameters

    torch.manual_seed(0)
    model = ours(system).train().to(device())
    optimiser = torch.optim.AdamW(group_parameters(model, 0.05), lr=1e-3, fused=not low)
    made = batches(WARM_UP + ROUNDS)
    todo = itertools.cycle([made[0], *made])  # one more, by which the kernels are chosen

    def step() -> float:
        batch = next(todo)
        source, target = batch.source.to(device()), batch.target.to(device())
        wanted = target[:, 1:]
        real = wanted != PAD
        optimiser.zero_grad()
        with torch.autocast(device(), torch.bfloat16) if low else nullcontext():
            logits = model.readout(model.decode(source, target[:, :-1])[real])
            total = F.cross_entropy(logits.float(), wanted[real], label_smoothing=0.1, reduction="sum")
        loss = total / batch.total
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        return float(loss.detach())

    settle(step)
    return step


def their_training(system: str, alike: bool) -> Step:
    """A step of JoeyNMT's training loop; `alike`: without dropout on attention weights."""
    torch.manual_seed(0)
    model = theirs(system).to(device())
    if alike:
        joeynmt_peer.keep_attention_whole(model)
    train = joeynmt_peer.trainer(model)
    todo = iter(batches(WARM_UP + ROUNDS))

    def step() -> float:
        batch = next(todo)
        return train(batch.source.to(device()), batch.target.to(device()))

    return step


# -- what is measured ---------------------------------------------------------------------------


def run(threads: int = 2) -> Iterator[Part]:
    """All rows of this bench."""
    for system in SYSTEMS:
        yield f"training, {system}", partial(_rows, system, threads)
        yield f"training in bf16, {system}", partial(_low_rows, system, threads)


def _rows(system: str, threads: int) -> Iterator[Row]:
    times, memory, spent = _timed({**_ours(system, threads), **_peers(system, threads)}, (OURS, USUAL, PEER))
    yield from (replace(row, spent=spent) for row in (*_beside(system, times), _of_peak(system, times)))
    yield from memory_rows(f"in training, {system}", memory, PEER)


def _low_rows(system: str, threads: int) -> Iterator[Row]:
    require_bf16()
    low = {LOW: Worker(our_training, system, True, threads=threads, keep=True)}
    kept = {OURS: Worker(our_training, system, False, threads=threads, keep=True)}
    times, *_ = _timed({**low, **kept}, ())
    tokens = _tokens()
    claim = f"target tokens/s in training, bf16 / float32, {system}"
    yield Row(claim, ratio(times, OURS, LOW), "", tokens / times[LOW], tokens / times[OURS], "tokens/s")


def require_bf16() -> None:
    """Leave rows in bf16 out where the processor has no instructions for it."""
    if device() == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise LeftOut("this processor has no instructions for bf16")


def _timed(
    workers: dict[str, Worker], remembered: Sequence[str]
) -> tuple[Samples, dict[str, tuple[float, float]], str]:
    """Seconds by worker, the memory of those named, and where the time of ours goes."""
    with ExitStack() as stack:
        started = {name: stack.enter_context(worker) for name, worker in workers.items()}
        times = interleaved({name: worker.step for name, worker in started.items()}, ROUNDS, warm_up=WARM_UP)
        memory = {name: started[name].memory() for name in remembered if name in started}
        return times, memory, started[OURS].tell_spent()


def _ours(system: str, threads: int) -> dict[str, Worker]:
    return {
        OURS: Worker(our_training, system, False, threads=threads, keep=True),
        USUAL: Worker(our_training, system, False, threads=threads, keep=False),
    }


def _peers(system: str, threads: int) -> dict[str, Worker]:
    if find_spec("joeynmt") is None:
        return {}
    return {
        PEER: Worker(their_training, system, False, threads=threads, keep=False),
        PEER_KEPT: Worker(their_training, system, True, threads=threads, keep=True),
    }


def _tokens() -> float:
    """Of the batch whose time is the median, if all goes well."""
    return statistics.median(batch.count for batch in batches(WARM_UP + ROUNDS)[WARM_UP:])


def _work(system: str) -> float:
    return statistics.median(operations(system, batch) for batch in batches(WARM_UP + ROUNDS)[WARM_UP:])


def _beside(system: str, times: Samples) -> Iterator[Row]:
    """Beside the peer; without it, our own figure."""
    tokens, limit = _tokens(), _tokens() * machine.peak() / _work(system)
    if PEER not in times:
        claim, note = f"target tokens/s in training, {system}", "JoeyNMT is not installed: make bench-peers brings it"
        yield Row(claim, 1.0, "", tokens / times[OURS], None, "tokens/s", note, limit, "products at peak")
        return
    yield _faster(f"{system}, as shipped", times, tokens, (OURS, PEER), GOALS[system], limit)
    yield _faster(f"{system}, same allocator", times, tokens, (OURS, PEER_KEPT), GOALS[system], limit)


def _faster(
    what: str, times: Samples, tokens: float, sides: tuple[str, str], goal: str = "", limit: float | None = None
) -> Row:
    one, other = sides
    claim = f"target tokens/s in training, jumok / JoeyNMT, {what}"
    rates, bound = (tokens / times[one], tokens / times[other]), "products at peak" if limit else ""
    return Row(claim, ratio(times, other, one), goal, *rates, "tokens/s", limit=limit, bound=bound)


def _of_peak(system: str, times: Samples) -> Row:
    work = _work(system)
    done = {name: work / times[name] / 1e9 for name in (OURS, PEER_KEPT) if name in times}
    theirs = f"JoeyNMT, if its model were ours, {done[PEER_KEPT]:.0f} GFLOP/s" if PEER_KEPT in done else ""
    claim, share = f"work done / the machine's matrix-product peak, ours, {system}", share_of_peak(times, OURS, work)
    return Row(claim, share, OF_PEAK[system], done[OURS], machine.peak() / 1e9, "GFLOP/s", theirs)


def memory_rows(where: str, memory: Mapping[str, tuple[float, float]], peer: str, goal: str = "") -> list[Row]:
    """Peaks of the peer's memory over each of ours; memory: MiB above what was built, and in all, by worker."""
    if peer not in memory:
        return [
            Row(f"peak memory {where}, {name}", 1.0, "", mine, None, "MiB", f"of the whole process {in_all:.0f}")
            for name, (mine, in_all) in memory.items()
        ]
    (above, whole), rows = memory[peer], []
    for name, (mine, in_all) in memory.items():
        if name != peer:
            note = f"of whole processes {in_all:.0f} and {whole:.0f}"
            rows.append(Row(f"peak memory {where}, JoeyNMT / {name}", above / mine, goal, mine, above, "MiB", note))
    return rows


def operations(system: str, batch: PairBatch) -> int:
    """Operations of a training step of our model on a batch, padding and what is not a product of matrices left out."""
    source = (batch.source != PAD).sum(1).double()
    target = (batch.target[:, 1:] != PAD).sum(1).double()
    return 3 * 2 * round(float(FORWARD[system](source, target).sum()))


def _recurrent(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Multiply-adds of each sentence forwards; w . tanh(...) counts as hidden per word and place."""
    embedding, hidden, memory = RECURRENT.embedding, RECURRENT.hidden, RECURRENT.memory
    gates = 4 * hidden
    read = 4 * memory * (embedding + memory // 2) + memory * (hidden + gates)  # both ways; keys, and U4 h
    write = gates * (embedding + hidden) + hidden**2 + hidden * VOCABULARY  # U1, U3; W of the score; U2
    return source * read + target * write + source * target * (hidden + gates) + memory * 2 * hidden


def _attending(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Multiply-adds of each sentence forwards; of a causal attention, the half that is needed."""
    width, layers = ATTENDING.width, ATTENDING.layers
    mlp = 2 * width * ATTENDING.feed_forward
    read = source * (4 * width**2 + mlp) + 2 * width * source**2
    write = target * (6 * width**2 + mlp) + 2 * width**2 * source + width * (target**2 + target)
    return layers * (read + write + 2 * width * source * target) + target * width * VOCABULARY


FORWARD = {RNN: _recurrent, TRANSFORMER: _attending}
