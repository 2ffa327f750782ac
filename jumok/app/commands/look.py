"""`jumok look`: what a model sees in images or reads in texts, and where it looks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jumok.app.look_request import LookRequest, ManyOptions
from jumok.app.map_methods import HELP, OF_MODELS
from jumok.app.outputs import check_outside_runs
from jumok.app.session import Report, Session, in_session
from jumok.errors import JumokError
from jumok.tasks.label.task import LABEL

OF_IMAGES = "they are of images, and the model reads texts"


@in_session("look", "device", "threads")
def command(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH | TEXT ...",
            help="An image, or a folder of images; for a text classifier a table or file of texts; for a text model of "
            "hf: texts as they are, or a file of them; for a speech model of hf: .wav files, or a folder of them.",
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
            help="Of text and speech models that write: tokens to write, and to show what each read.",
            show_default=False,
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

    For an object detector of hf: each box, and where the query that gave it looked.

    For a speech model of hf: each word that it writes, over the spectrogram of the sound.

    For a text classifier: each text's prediction, and how much each word spoke for it. For other text models: what they
    answer or write, and which words they read for it, in every layer and head.
    """
    check_outside_runs(out)
    many = None if engine is None else ManyOptions(engine, processes, shard_size, column, maps)
    asked = LookRequest(
        inputs=tuple(inputs),
        model=model,
        method=method,
        target=target,
        layer=layer,
        head=head,
        without_sinks=without_sinks,
        generate=generate,
        chat=chat,
        out=out,
        html=html,
        pictures=pictures,
        batch_size=batch_size,
        many=many,
    )
    return _answer(asked, session)


def _answer(asked: LookRequest, session: Session) -> Report:
    """By what answers: a data set's engine, no model, a model of texts or of images."""
    if asked.many is not None:
        return _look_at_many(asked, asked.many, session)
    if asked.model is None:
        return _look_without_model(asked, session)
    if _is_listener(asked.model):
        from jumok.app.listen.look import look as look_at_sounds

        return look_at_sounds(asked, asked.model, session)
    if _is_text_model(asked.model):
        return _read_texts(asked, asked.model, session)
    asked.refuse_of_text_models()
    asked.check_layer()
    if _reads_texts(asked.model):
        return _look_at_texts(asked, asked.model, session)
    if _is_detector(asked.model):
        from jumok.app.detect.look import look as look_at_boxes

        return look_at_boxes(asked, asked.model, session)
    from jumok.app.classify.look import look

    return look(asked, asked.model, session)


def _look_at_many(asked: LookRequest, many: ManyOptions, session: Session) -> Report:
    """Write a data set of looks; flags of single pictures are refused."""
    from jumok.app.engine.looker import Looker
    from jumok.app.engine.many import look_at_many

    if asked.model is None:
        raise JumokError("--engine needs a model: name it with --model")
    asked.refuse_of_text_models()
    asked.refuse_of_images("they are of pictures and pages, and --engine writes a data set")
    looker = Looker(asked.model, method=asked.method, maps=many.maps, target=asked.target, batch_size=asked.batch_size)
    return look_at_many(asked.take_path(), looker, asked.out, many, session)


def _look_without_model(asked: LookRequest, session: Session) -> Report:
    """Show what is salient; flags that only a model has a use for are refused."""
    from jumok.app.commands.saliency import show_saliency

    asked.refuse_of_text_models()
    path = asked.take_path()
    if asked.method in OF_MODELS:
        raise JumokError(f"the method {asked.method} needs a model: name it with --model")
    asked.refuse_of_models("they need a model, and no --model was named")
    return show_saliency(path, asked.method, "otsu", asked.out, session, html=asked.html, pictures=asked.pictures)


def _reads_texts(model: str) -> bool:
    """Whether a model is a run that classifies texts."""
    from jumok.tasks import task_named
    from jumok.tasks.running.config import read_run_config

    config = Path(model) / "config.yaml"
    return config.is_file() and task_named(str(read_run_config(config).get("task"))) is LABEL


def _is_detector(model: str) -> bool:
    """Whether a model from elsewhere finds boxes in images."""
    if not model.startswith("hf:"):
        return False
    from jumok.tasks.detect.opening import is_detector

    return is_detector(model)


def _is_listener(model: str) -> bool:
    """Whether a model from elsewhere writes what it hears."""
    if not model.startswith("hf:"):
        return False
    from jumok.tasks.listen.opening import is_listener

    return is_listener(model)


def _is_text_model(model: str) -> bool:
    """Whether a model from elsewhere reads texts alone."""
    if not model.startswith("hf:"):
        return False
    from jumok.tasks.read.opening import reads_texts

    return reads_texts(model)


def _read_texts(asked: LookRequest, model: str, session: Session) -> Report:
    """Show what a text model from elsewhere reads; flags that only images have a use for are refused."""
    from jumok.app.read.look import Asked, look

    asked.refuse_of_images(OF_IMAGES)
    wanted = Asked(asked.method, asked.target, asked.generate, asked.chat)
    return look(asked.inputs, model, wanted, asked.out, session, html=asked.html)


def _look_at_texts(asked: LookRequest, model: str, session: Session) -> Report:
    """Show which words spoke for a class; flags that only images have a use for are refused."""
    from jumok.app.label.look import look

    asked.refuse_of_images(OF_IMAGES)
    return look(asked.take_path(), model, asked.method, asked.target, asked.out, session, html=asked.html)
