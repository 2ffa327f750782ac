"""A text classifier, ready to be exported, with texts to check it on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from jumok.app.exported import CHECKED_INPUTS, ToExport
from jumok.app.label.chosen import TextOptions, stream_inputs
from jumok.errors import JumokError
from jumok.language import later, later_count

if TYPE_CHECKING:
    from jumok.app.session import Session
    from jumok.tasks.label.run import TextRun

FORMATS = ("onnx", "pt2")


def prepare(run: Path, data: Sequence[Path], *, with_map: bool, session: Session) -> ToExport:
    """Open a text classifier and find texts to check its graph on.

    Args:
        run: folder of the run.
        data: tables of texts; none for the run's own.
        with_map: refused.
        session: of the command.
    Raises:
        JumokError: a run or texts that cannot be read.
    """
    from jumok.tasks.label.export import describe_texts, make_graph, prepare_batches
    from jumok.tasks.label.run import TextRun
    from jumok.tasks.label.tokens import TOKENIZER

    trained = TextRun.load(run)
    graph = make_graph(trained, with_map=with_map)
    texts, remarks = _choose_texts(trained, data)
    facts = {"task": "label", "classes": list(trained.classes), **describe_texts(trained)}
    batches = {graph.name: prepare_batches(trained, texts)}
    checked_on = (
        later("words of the tokenizer") if remarks else later_count(len(texts), "{count} text", "{count} texts")
    )
    system = trained.config.system
    return ToExport(system, [graph], batches, checked_on, facts, remarks, {TOKENIZER: trained.tokens.text})


def _choose_texts(run: TextRun, data: Sequence[Path]) -> tuple[list[str], list[str]]:
    """A few texts of those given, or of the run's own; made-up ones if these are gone, which is said."""
    from jumok.tasks.label.prepare import find_parts

    if data:
        texts = (text for _, _, text in stream_inputs(data, run, TextOptions()) if text.strip())
        if found := list(islice(texts, CHECKED_INPUTS)):
            return found, []
        raise JumokError(f"{data[0]} holds no text")
    try:
        return list(find_parts(run.config.data, run.config.training.seed)["val"].texts[:CHECKED_INPUTS]), []
    except JumokError:
        made_up = [" ".join(run.classes), f"{run.classes[0]} 1 2 3."]
        return made_up, [f"checked on made-up texts, for {run.config.data.texts} cannot be read: give some"]
