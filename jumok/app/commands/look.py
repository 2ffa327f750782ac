"""`jumok look`: what a model sees in images or reads in texts, and where it looks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from unicodedata import normalize

import typer

from jumok.app.image_results import Finding, ImageResults, look_at_images, place
from jumok.app.map_methods import HELP, OF_MODELS
from jumok.app.options import refuse
from jumok.app.outputs import check_outside_runs
from jumok.app.sentences import find_path
from jumok.app.session import Report, Session, in_session
from jumok.errors import JumokError
from jumok.language import translate, translate_count
from jumok.tasks.label.task import LABEL
from jumok.wording import write_count

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.app.engine.many import ManyOptions
    from jumok.tasks.classify.any_classifier import AnyClassifier
    from jumok.tasks.classify.kinds import Said
    from jumok.tasks.classify.looking import LookOptions, LookResult
    from jumok.tasks.classify.regions import Regions

COLUMNS = ("predicted", "probability", "target", "method")
OF_A_LAYER = ("grad-cam", "raw")
"""Methods that read a layer, which may be named."""
MOST_CLASSES = 5
"""Classes on a page and in the terminal."""


@in_session("look", "device", "threads")
def command(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH | TEXT ...",
            help="An image, or a folder of images; for a text classifier a table or file of texts; for a text model of "
            "hf: texts as they are, or a file of them.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Folder of a run, hf:NAME-OR-FOLDER or timm:NAME (default: none, saliency without a model).",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help=f"{HELP} (default: the first method the model supports); without a model one of jumok saliency.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Class or label to explain, by methods that explain one (default: the most probable one).",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            help="With raw: layer, from 0; negative from the end (default -1). With raw or grad-cam: name of a module.",
            show_default=False,
        ),
    ] = None,
    head: Annotated[
        int | None, typer.Option(help="With raw: head, from 0 (default: the mean over heads).", show_default=False)
    ] = None,
    without_sinks: Annotated[
        bool,
        typer.Option(
            "--without-sinks",
            help="Show maps that come from attention also without sinks: patches all look at that tell nothing.",
        ),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the pictures, maps, page and results.csv.")] = Path("look"),
    html: Annotated[bool, typer.Option("--html/--no-html", help="Write one page for the whole call.")] = True,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Write a picture of each map, which takes the most time.")
    ] = True,
    batch_size: Annotated[int, typer.Option(help="Images at a time.", min=1)] = 16,
    generate: Annotated[
        int | None,
        typer.Option(
            help="Of text models that write: tokens to write, and to show what each read.", show_default=False
        ),
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Of text models: put the text into the model's chat template.")
    ] = False,
    engine: Annotated[
        str | None,
        typer.Option(
            help="local: write a Parquet data set to --out, a row per input, instead of pictures and a page; PATH may "
            "also be a pattern, a .txt file of paths, .parquet or .tar files. The same command goes on where it was "
            "stopped.",
            show_default=False,
        ),
    ] = None,
    processes: Annotated[int, typer.Option(help="With --engine: processes, each with a model.", min=1)] = 1,
    shard_size: Annotated[int, typer.Option(help="With --engine: rows of a file of the data set.", min=1)] = 1024,
    column: Annotated[
        str | None,
        typer.Option(
            help="With --engine: column of Parquet files with bytes or paths of images (default: the first of image, "
            "bytes and path).",
            show_default=False,
        ),
    ] = None,
    maps: Annotated[bool, typer.Option("--maps/--no-maps", help="With --engine: a column of maps.")] = True,
    *,
    session: Session,
) -> Report:
    """Write each image's prediction, a heatmap of where the model looked, and the raw map; and one page for all.

    For a text classifier: each text's prediction, and how much each word spoke for it. For other text models: what they
    answer or write, and which words they read for it, in every layer and head.
    """
    check_outside_runs(out)
    flags = LookFlags(method, target, layer, head, without_sinks)
    if engine is not None:
        from jumok.app.engine.many import ManyOptions

        many = ManyOptions(engine, processes, shard_size, column, maps)
        return _look_at_many(_take_path(inputs, model), model, flags, out, many, batch_size, session)
    if model is not None and _is_text_model(model):
        return _read_texts(inputs, model, flags, generate, chat, out, session, html=html)
    refuse({"--generate": generate, "--chat": chat or None}, "they are of text models: --model hf:FOLDER of one")
    path = _take_path(inputs, model)
    if model is None:
        return _look_without_model(path, flags, out, session, html=html, pictures=pictures)
    flags.check()
    if _reads_texts(model):
        return _look_at_texts(path, model, flags, out, session, html=html)
    looker = _open(model, flags, batch_size, session, layers=html or without_sinks)
    shares = looker.model.kind.are_shares or looker.model.kind.figure
    columns = COLUMNS if shares else tuple(name for name in COLUMNS if name != "probability")
    title = translate("Where {model} looks", model=looker.model.name)
    results = ImageResults(out, title, columns, pictures=pictures)
    look_at_images(path, looker, results, session, html=html)
    return results


@dataclass(frozen=True)
class LookFlags:
    """The flags that say how a model is asked where it looks; None where one was left out."""

    method: str | None
    target: str | None
    layer: str | None
    head: int | None
    without_sinks: bool = False

    def check(self) -> None:
        """Refuse the choice of a layer or a head where the method reads none.

        Raises:
            JumokError: there is such a choice.
        """
        named = self.layer is not None and not isinstance(self._layer, int)
        if named and self.method not in OF_A_LAYER:
            raise JumokError(
                f"--layer {self.layer} is read by {' and '.join(OF_A_LAYER)}, and the method is "
                f"{self.method or 'not named'}: add --method {OF_A_LAYER[0]}"
            )
        if self.method != "raw" and (self.head is not None or (self.layer is not None and not named)):
            raise JumokError(
                "--layer N and --head choose among raw weights, and the method is "
                f"{self.method or 'not raw'}: add --method raw"
            )

    @property
    def _layer(self) -> int | str:
        """Its number, or its name."""
        given = "-1" if self.layer is None else self.layer
        return int(given) if given.removeprefix("-").isdecimal() else given

    def to_options(self, model: AnyClassifier, *, layers: bool) -> LookOptions:
        """The same as the options of a look by this model.

        Raises:
            JumokError: a target that is none of its classes.
        """
        from jumok.tasks.classify.looking import LookOptions

        target = None if self.target is None else model.index(self.target)
        method = self.method or (model.trust.method if model.trust else None)
        methods = () if method is None else (method,)
        return LookOptions(methods, 1, target, self._layer, self.head, layers=layers)


def _look_at_many(
    path: Path, model: str | None, flags: LookFlags, out: Path, many: ManyOptions, batch_size: int, session: Session
) -> Report:
    """Write a data set of looks; flags of single pictures are refused."""
    from jumok.app.engine.looker import Looker
    from jumok.app.engine.many import look_at_many

    if model is None:
        raise JumokError("--engine needs a model: name it with --model")
    of_pictures = {"--layer": flags.layer, "--head": flags.head, "--without-sinks": flags.without_sinks or None}
    refuse(of_pictures, "they are of pictures and pages, and --engine writes a data set")
    looker = Looker(model, method=flags.method, maps=many.maps, target=flags.target, batch_size=batch_size)
    return look_at_many(path, looker, out, many, session)


def _look_without_model(
    path: Path, flags: LookFlags, out: Path, session: Session, *, html: bool, pictures: bool
) -> ImageResults:
    """Show what is salient; flags that only a model has a use for are refused."""
    from jumok.app.commands.saliency import show_saliency

    if flags.method in OF_MODELS:
        raise JumokError(f"the method {flags.method} needs a model: name it with --model")
    of_models = {"--target": flags.target, "--layer": flags.layer, "--head": flags.head}
    of_models |= {"--without-sinks": flags.without_sinks or None}
    refuse(of_models, "they need a model, and no --model was named")
    return show_saliency(path, flags.method, "otsu", out, session, html=html, pictures=pictures)


def _reads_texts(model: str) -> bool:
    """Whether a model is a run that classifies texts."""
    from jumok.tasks import task_named
    from jumok.tasks.running.config import read_run_config

    config = Path(model) / "config.yaml"
    return config.is_file() and task_named(str(read_run_config(config).get("task"))) is LABEL


def _is_text_model(model: str) -> bool:
    """Whether a model from elsewhere reads texts alone."""
    if not model.startswith("hf:"):
        return False
    from jumok.tasks.read.opening import reads_texts

    return reads_texts(model)


def _take_path(inputs: Sequence[str], model: str | None) -> Path:
    """The one path of images, or of texts for a run.

    Raises:
        JumokError: several, or a text where the model takes none.
    """
    if len(inputs) > 1:
        raise JumokError(f"wanted one image, folder or file, got {len(inputs)}: put them into one folder")
    if " " in inputs[0].strip() and find_path(inputs[0]) is None:
        taker = f"{model} takes no text" if model else "no --model was named"
        raise JumokError(
            f"no file or folder {inputs[0]!r}, and {taker}: give a path, or a text model with --model hf:FOLDER"
        )
    return Path(inputs[0])


def _read_texts(
    inputs: Sequence[str],
    model: str,
    flags: LookFlags,
    generate: int | None,
    chat: bool,
    out: Path,
    session: Session,
    *,
    html: bool,
) -> Report:
    """Show what a text model from elsewhere reads; flags that only images have a use for are refused."""
    from jumok.app.read.look import Asked, look

    _refuse_of_images(flags)
    return look(inputs, model, Asked(flags.method, flags.target, generate, chat), out, session, html=html)


def _refuse_of_images(flags: LookFlags) -> None:
    of_images = {"--layer": flags.layer, "--head": flags.head, "--without-sinks": flags.without_sinks or None}
    refuse(of_images, "they are of images, and the model reads texts")


def _look_at_texts(path: Path, model: str, flags: LookFlags, out: Path, session: Session, *, html: bool) -> Report:
    """Show which words spoke for a class; flags that only images have a use for are refused."""
    from jumok.app.label.look import look

    _refuse_of_images(flags)
    return look(path, model, flags.method, flags.target, out, session, html=html)


def _open(name: str, flags: LookFlags, batch_size: int, session: Session, *, layers: bool) -> ModelLooker:
    """The model, and what is asked of it."""
    from jumok.tasks.classify.any_classifier import open_model
    from jumok.tasks.classify.regions import Regions

    model = open_model(name, session.device)
    if flags.method is None and model.trust is not None:
        session.say(f"maps: {model.trust.why()}")
    options = replace(flags.to_options(model, layers=layers), values=flags.without_sinks)
    return ModelLooker(model, options, batch_size, Regions(), flags.without_sinks)


@dataclass
class ModelLooker:
    """A model that is asked about images."""

    model: AnyClassifier
    options: LookOptions
    batch_size: int
    regions: Regions = field(repr=False)
    without_sinks: bool = False
    asked: int = 0
    with_sinks: int = 0

    @property
    def bits(self) -> int | None:
        """As the model was trained."""
        return self.model.bits

    @cached_property
    def least(self) -> tuple[int, int]:
        """One patch of the model."""
        from jumok.tasks.classify.patch_size import find_patch_size

        return find_patch_size(self.model)

    def look(self, images: Sequence[Tensor]) -> list[Finding]:
        """What the model predicts for each image, and where it looked."""
        from jumok.tasks.classify.looking import look

        found = zip(images, look(self.model, images, self.options), strict=True)
        return [place(self._finding(answer), self.model.frame(image)) for image, answer in found]

    def find_truth(self, path: Path) -> str:
        """The folder that an image lies in, where that is called as one of the model's classes is."""
        folder = normalize("NFC", path.resolve().parent.name)
        return next((name for name in self.model.classes if normalize("NFC", name) == folder), "")

    def remarks(self) -> list[str]:
        """Whether regions have left the image, and in how many images there were sinks."""
        asked = write_count(self.asked, "image")
        told = f"sinks in {self.with_sinks} of {asked}, shown with and without them"
        return [*self.regions.remarks(), *([told] if self.without_sinks else [])]

    def _finding(self, answer: LookResult) -> Finding:

        (method, heat) = next(iter(answer.heats.items()))
        self.regions.add(answer.heats.values())
        said = self.model.kind.say(answer.probabilities.tolist())
        best, target = said.best[:MOST_CLASSES], self.model.classes[answer.target]
        share = {} if said.share is None else {"probability": said.share}
        found = Finding(
            heat,
            method,
            title=f": {said.text}",
            text=self._tell(said),
            figures={"predicted": said.answer, **share, "target": target, "method": heat.source},
            best=best,
            layers=answer.layers,
            note=self._note(method, target, said),
        )
        if not self.without_sinks:
            return found
        others = self._correct(found, answer)
        return replace(found, others=others, group=translate("with sinks") if others else translate("no sinks"))

    def _correct(self, found: Finding, answer: LookResult) -> list[Finding]:
        """The same map without sinks; nothing where there is no sink."""
        from jumok.app.classify.without_sinks import CORRECTED, check_correctable, drop_sinks

        check_correctable([found.method])
        heat, sinks = drop_sinks(found.heat, answer.layers, answer.values)
        self.asked += 1
        self.with_sinks += bool(sinks)
        told = f"{found.note}, {translate_count(sinks, 'without {count} sink', 'without {count} sinks')}"
        method = f"{found.method}.{CORRECTED.replace(' ', '-')}"
        figures = {**found.figures, "method": heat.source}
        title = f"{found.title}, {CORRECTED}"
        without = replace(
            found, heat=heat, method=method, figures=figures, title=title, note=told, group=translate("without sinks")
        )
        return [without] if sinks else []

    def _tell(self, said: Said) -> str:
        """A line for the terminal: the most probable classes, or the answer and the most probable labels."""
        best = ", ".join(f"{name} {value:.1%}" for name, value in said.best[:MOST_CLASSES])
        return f"{said.note} ({best})" if said.note and best else said.note or best

    def _note(self, method: str, target: str, said: Said) -> str:
        """What the map shows, and how far it can be trusted, where that was measured."""
        from jumok.tasks.classify.looking import OF_TARGET

        trust = self.model.trust
        why = f"; {translate(trust.why())}" if trust is not None and trust.method in (None, method) else ""
        answer = f"{said.note}; " if said.note else ""
        shown = translate("{method} for {target}", method=method, target=target) if method in OF_TARGET else method
        return answer + shown + why
