"""A translator, ready to be exported: as graphs, or as a CTranslate2 model; checked by what it translates."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.app.exported import CHECKED_INPUTS, ToExport
from jumok.errors import JumokError
from jumok.language import later, later_count

if TYPE_CHECKING:
    from jumok.app.session import Session
    from jumok.data.pairs.pair_set import PairSet
    from jumok.tasks.translate.run import PairRun

FORMATS = ("onnx", "pt2", "ctranslate2")
MOST_JUDGED = 500
"""Pairs on which a CTranslate2 model is compared with its run."""
MOST_BLEU_APART = 0.1

Check = tuple[dict[str, Any], list[str]]
"""What was found, in plain values and in lines."""
Way = Callable[[Sequence[str], int], list[str]]
"""Sentences and the size of the beam to translations."""


def prepare(run: Path, data: Sequence[Path], *, with_map: bool, session: Session) -> ToExport:
    """Open a translator and find sentences to check its graphs on.

    Args:
        run: folder of the run.
        data: files of pairs; none for the run's own.
        with_map: must be False.
        session: of the command.
    Raises:
        JumokError: a map is wanted, or a run or pairs that cannot be read.
    """
    from jumok.tasks.translate.export import make_graphs, prepare_batches
    from jumok.tasks.translate.run import PairRun

    if with_map:
        raise JumokError("--with-map gives the attention rollout of vit systems, not of translators: leave it out")
    trained = PairRun.load(run)
    pairs = _choose(trained, data)
    graphs = make_graphs(trained)
    sentences = pairs.sources[:CHECKED_INPUTS]
    return ToExport(
        trained.config.system,
        graphs,
        prepare_batches(trained, graphs, sentences),
        later_count(len(sentences), "{count} sentence", "{count} sentences"),
        _describe(trained),
    )


def _choose(run: PairRun, data: Sequence[Path]) -> PairSet:
    from jumok.app.translate.evaluate import select

    return select(run, data, "auto")[0]


def _describe(run: PairRun) -> dict[str, Any]:
    return {
        "task": "translate",
        "lowercase": run.config.data.lowercase,
        "symbols": {"<pad>": 0, "<unk>": 1, "<s>": 2, "</s>": 3},
        "source": "ids, then </s>, padded with <pad> at the right",
        "decoding": "encoder once; then decoder_step from <s> on, until </s>: a recurrent decoder takes the last word "
        "and its states, a Transformer all words so far",
        "source_vocabulary": run.source.pieces(range(len(run.source))),
        "target_vocabulary": run.target.pieces(range(len(run.target))),
    }


def check_decoding(run: Path, data: Sequence[Path], folder: Path) -> Check:
    """Translate by the written graphs alone, and compare with the run.

    Returns:
        how many sentences are translated alike, and a line on it.
    Raises:
        JumokError: one is not.
    """
    from jumok.tasks.exporting import open_session
    from jumok.tasks.translate.decoding import search
    from jumok.tasks.translate.export import make_graphs, prepare_batches, translate_greedily
    from jumok.tasks.translate.run import PairRun

    trained = PairRun.load(run)
    pairs, graphs = _choose(trained, data), make_graphs(trained)
    sessions = {graph.name: open_session(folder / f"{graph.name}.onnx") for graph in graphs}
    alike = total = 0
    for batch in prepare_batches(trained, graphs, pairs.sources[:CHECKED_INPUTS])["encoder"]:
        limit = 2 * batch["source"].shape[1] + 20
        wanted = search(trained.model, batch["source"], max_length=limit)  # type: ignore[arg-type]
        found = translate_greedily(sessions, batch["source"], limit)
        alike += sum(own[0].tokens == other for own, other in zip(wanted, found, strict=True))
        total += len(found)
    if alike < total:
        for graph in graphs:
            (folder / f"{graph.name}.onnx").unlink()
        raise JumokError(f"the graphs translate {total - alike} of {total} sentences otherwise than the run: removed")
    return {"sentences": total, "alike": alike}, [
        later_count(
            total,
            "{alike} of {count} sentence translated as by the run, greedily",
            "{alike} of {count} sentences translated as by the run, greedily",
            alike=f"{alike:,}",
        )
    ]


def write_ctranslate(run: Path, data: Sequence[Path], folder: Path, threads: int) -> Check:
    """Write a CTranslate2 model, and compare its BLEU and its speed with the run's.

    Returns:
        by way to search, BLEU and sentences per second of both; and lines on it.
    Raises:
        JumokError: it cannot be written, or its BLEU is another one.
    """
    from jumok.systems.transformer import Transformer
    from jumok.tasks.translate.ctranslate import CTranslated, list_tokens, write_model
    from jumok.tasks.translate.export import count_places
    from jumok.tasks.translate.run import PairRun

    trained = PairRun.load(run)
    pairs = _choose(trained, data)
    model, system = trained.model, trained.config.system
    if not isinstance(model, Transformer):
        raise JumokError(f"CTranslate2 knows Transformers, and {system} is recurrent: export it with --onnx")
    sizes = count_places(trained), list_tokens(trained.source), list_tokens(trained.target)
    write_model(model, *sizes, folder)
    written = CTranslated(folder, *sizes, threads=threads)
    ways: dict[str, Way] = {
        "run": lambda texts, beam: [best.text for best in trained.translate(texts, beam=beam)],
        "ctranslate2": lambda texts, beam: [
            trained.target.decode(best[0].tokens)
            for best in written.search([trained.source.encode(trained.cased(text)) for text in texts], beam=beam)
        ],
    }
    found: dict[str, Any] = {"sentences": min(len(pairs), MOST_JUDGED)}
    lines: list[str] = []
    for beam, words in ((1, later("greedy")), (5, later("beam {beam}", beam="5"))):
        one, other = (found.setdefault(words, {}).setdefault(name, _judge(way, beam, trained, pairs))
                      for name, way in ways.items())  # fmt: skip
        lines.append(
            later(
                "{words}: BLEU {bleu}, {rate} sentences/s (run: {own_bleu}, {own_rate}), {sentences}, {threads}",
                words=words,
                bleu=f"{other['bleu']:.2f}",
                rate=f"{other['rate']:,.0f}",
                own_bleu=f"{one['bleu']:.2f}",
                own_rate=f"{one['rate']:,.0f}",
                sentences=later_count(found["sentences"], "{count} sentence", "{count} sentences"),
                threads=later_count(threads, "{count} thread", "{count} threads"),
            )
        )
    own, theirs = (found["greedy"][name]["bleu"] for name in ways)
    if abs(own - theirs) > MOST_BLEU_APART:
        shutil.rmtree(folder)
        raise JumokError(f"CTranslate2 reaches BLEU {theirs:.2f} and the run {own:.2f} (greedy): {folder} was removed")
    return found, lines


def _judge(way: Way, beam: int, run: PairRun, pairs: PairSet) -> dict[str, float]:
    """BLEU, and sentences per second once it is warm."""
    from jumok.tasks.translate.scores import score

    sources, targets = list(pairs.sources[:MOST_JUDGED]), pairs.targets[:MOST_JUDGED]
    way(sources[:2], beam)
    began = time.perf_counter()
    texts = way(sources, beam)
    seconds = time.perf_counter() - began
    scores = score(texts, targets, lowercase=run.config.data.lowercase, resamples=0)
    return {"bleu": scores.bleu, "rate": len(sources) / seconds}
