"""Answering questions about images, in batches and one at a time: `python -m bench questions`.

Generated shapes, 64 x 64 pixels, 40 images with 6 questions each; random weights. *Each image and text once*: as
`jumok train`, `eval` and `ask` do it. *Straightforward*: the usual form, in which each question comes with its own copy
of its image and each text is read as often as it is asked; the model is the same. Both take turns in one process, and
medians count. Training is a forward and backward pass in training mode and a step of AdamW, answering a forward pass in
eval mode. An interactive question is one call of `run.ask` (a new image, from pixels to answers), of `run.ask` about an
image that was seen before, and of `look` (answers, and where the question and each of its words looked), after loading.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import torchvision_names
from bench.measuring import Ratio, Samples, interleaved, ratio
from bench.spent import tell_spent
from bench.table import Part, Row
from bench.workers import Step

torchvision_names.define()  # where torchvision is there, the trainer imports it

from jumok.data.images.reading import read_image  # noqa: E402
from jumok.data.questions.batches import QuestionBatch  # noqa: E402
from jumok.data.samples.shape_folder import write_shapes  # noqa: E402
from jumok.machine import keep_freed  # noqa: E402
from jumok.systems.vqa import VQA  # noqa: E402
from jumok.tasks.answer.looking import look  # noqa: E402
from jumok.tasks.answer.prepare import PreparedQuestions, prepare  # noqa: E402
from jumok.tasks.answer.run import QuestionRun  # noqa: E402
from jumok.tasks.answer.settings import QuestionData, QuestionTraining, Settings  # noqa: E402

SYSTEMS = ("vqa-stacked", "vqa-transformer")
IMAGES, QUESTIONS = 40, 6
ROUNDS = 15
NEVER_SLOWER = ">= 1"
PROMPT = {  # half of what it took at first, in ms: a new image, an image seen before, with maps
    "vqa-stacked": ("<= 3.9", "<= 3.9", "<= 8"),
    "vqa-transformer": ("<= 6", "<= 6", "<= 21"),
}
ONCE, PLAIN = "each image and text once", "straightforward"


def run(threads: int) -> Iterator[Part]:
    """All rows of this bench."""
    keep_freed()
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "shapes"
        write_shapes(sample, train=IMAGES, val=8, test=8, questions=QUESTIONS)
        for system in SYSTEMS:
            yield system, partial(_rows, system, sample, threads)


def _rows(system: str, sample: Path, threads: int) -> list[Row]:
    prepared = _prepared(system, sample)
    batch = next(iter(prepared.train))
    model = prepared.module().model
    assert isinstance(model, VQA)
    note = (
        f"{len(batch.indices)} questions, {len(batch.images)} images, {len(batch.questions)} texts; {threads} threads"
    )
    training = interleaved(_training(model, batch), ROUNDS)
    answering = interleaved(_answering(model.eval(), batch), ROUNDS)
    asked = len(batch.indices)
    return [
        _beside(f"{system}, questions/s in training", training, asked, note),
        _beside(f"{system}, answers/s in batches", answering, asked, note),
        *_interactive(system, prepared, model, sample / "images", threads),
    ]


def _prepared(system: str, sample: Path) -> PreparedQuestions:
    data = QuestionData(questions=(str(sample),), images=str(sample / "images"))
    training = QuestionTraining(batch_size=IMAGES * QUESTIONS)
    return prepare(Settings(system=system, data=data, training=training, options={"width": 128}))


def _beside(claim: str, times: Samples, asked: int, note: str) -> Row:
    ours, peer = asked / times[ONCE], asked / times[PLAIN]
    return Row(f"{claim}, {ONCE} / {PLAIN}", ratio(times, PLAIN, ONCE), NEVER_SLOWER, ours, peer, "questions/s", note)


# -- in batches ---------------------------------------------------------------------------------


def _forms(model: VQA, batch: QuestionBatch) -> dict[str, Callable[[], Tensor]]:
    """The logits of a batch, in both forms."""
    pixels = batch.images.float() / 255
    own_pixels, own_texts = pixels[batch.pairs[:, 0]], batch.questions[batch.pairs[:, 1]]
    return {
        ONCE: lambda: model(pixels, batch.questions, batch.pairs),
        PLAIN: lambda: model(own_pixels, own_texts),
    }


def _training(model: VQA, batch: QuestionBatch) -> dict[str, Callable[[], object]]:
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step(logits: Callable[[], Tensor]) -> Callable[[], object]:
        def train() -> None:
            optimiser.zero_grad()
            F.cross_entropy(logits(), batch.scores).backward()
            optimiser.step()

        return train

    return {name: step(logits) for name, logits in _forms(model, batch).items()}


def _answering(model: VQA, batch: QuestionBatch) -> dict[str, Callable[[], object]]:
    def step(logits: Callable[[], Tensor]) -> Callable[[], object]:
        return torch.inference_mode()(logits)

    return {name: step(logits) for name, logits in _forms(model, batch).items()}


# -- one at a time ------------------------------------------------------------------------------


def _interactive(system: str, prepared: PreparedQuestions, model: VQA, images: Path, threads: int) -> list[Row]:
    """Milliseconds from a question to its answer."""
    asking = QuestionRun(prepared.config, model, images, prepared.words)
    path = next(images.rglob("*.png"))
    pixels, question = read_image(path), "What colour is the object closest to the red circle?"
    scene = asking.see(pixels)
    steps: dict[str, Step] = {
        "a new image": lambda: asking.ask(path, [question]),
        "an image seen before": lambda: asking.ask(scene, [question]),
        "with where each word looked": lambda: look(asking, [pixels], [question]),
    }
    times = interleaved(steps, ROUNDS)
    note = f"after loading, 64 x 64 pixels, {threads} threads"
    return [
        Row(
            f"{system}, one question, {name}, ms",
            spread,
            goal,
            spread.middle,
            None,
            "ms",
            note,
            spent=tell_spent(steps[name]),
        )
        for (name, seconds), goal in zip(times.values_of.items(), PROMPT[system], strict=True)
        if (spread := Ratio.of(seconds).scaled(1000))
    ]
