"""`jumok look`: what a model sees in images or reads in texts, and where it looks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from jumok.app.engine.settings import OF_MANY, EngineSettings, PageSettings, split_off_engine
from jumok.app.look_request import FileSettings, LookRequest, MapSettings, TextSettings
from jumok.app.map_methods import OF_MODELS
from jumok.app.options import Panels, pick, refuse, with_settings
from jumok.app.outputs import check_outside_runs
from jumok.app.session import Report, Session, in_session
from jumok.errors import JumokError
from jumok.tasks.label.task import LABEL

OF_IMAGES = "they are of images, and the model reads texts"
OF_LOOKS = "it is of one map for each image, by a classifier of images or without a model"


PANELS: Panels = {
    "Options": (MapSettings, FileSettings),
    "Texts and speech": (TextSettings,),
    **OF_MANY,
    "Data sets": (PageSettings,),
}


def build(_: Sequence[str]) -> Callable[..., int]:
    """The command, with its options."""
    return in_session("look", "device", "threads")(with_settings(PANELS)(command))


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
            help="Folder of a run, hf:NAME-OR-FOLDER or timm:NAME. Without one: saliency maps, which need no model.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures, maps, page and results.csv.")] = Path("look"),
    *,
    session: Session,
    settings: Mapping[str, Any],
) -> Report:
    """Write each image's prediction, a heatmap of where the model looked, and the raw map; and one page for all.

    For an object detector of hf: each box, and where the query that gave it looked.

    For a speech model of hf: each word that it writes, over the spectrogram of the sound.

    For a text classifier: each text's prediction, and how much each word spoke for it. For other text models: what they
    answer or write, and which words they read for it, in every layer and head.
    """
    check_outside_runs(out)
    asked = LookRequest(
        inputs=tuple(inputs),
        model=model,
        out=out,
        maps=pick(MapSettings, settings),
        texts=pick(TextSettings, settings),
        files=pick(FileSettings, settings),
        engine=split_off_engine(EngineSettings, settings)[0],
        pages=pick(PageSettings, settings),
    )
    return _answer(asked, session)


def _answer(asked: LookRequest, session: Session) -> Report:
    """By what answers: a data set's engine, no model, a model of texts or of images."""
    if asked.engine.engine is not None:
        return _look_at_many(asked, session)
    if asked.pages != PageSettings() or _is_data_set(asked.inputs):
        return _show_rows(asked, session)
    if asked.model is None:
        return _look_without_model(asked, session)
    if _is_listener(asked.model):
        asked.refuse_export(OF_LOOKS)
        from jumok.app.listen.look import look as look_at_sounds

        return look_at_sounds(asked, asked.model, session)
    if _is_text_model(asked.model):
        return _read_texts(asked, asked.model, session)
    asked.refuse_of_text_models()
    asked.check_layer()
    if _reads_texts(asked.model):
        return _look_at_texts(asked, asked.model, session)
    if _is_detector(asked.model):
        asked.refuse_export(OF_LOOKS)
        from jumok.app.detect.look import look as look_at_boxes

        return look_at_boxes(asked, asked.model, session)
    from jumok.app.classify.look import look

    return look(asked, asked.model, session)


def _look_at_many(asked: LookRequest, session: Session) -> Report:
    """Write a data set of looks; flags of single pictures are refused."""
    from jumok.app.engine.looker import Looker
    from jumok.app.engine.many import make_data_set

    if asked.model is None:
        raise JumokError("--engine needs a model: name it with --model")
    asked.refuse_of_text_models()
    asked.refuse_of_images("they are of pictures and pages, and --engine writes a data set")
    asked.refuse_export("it is written of a data set that is there: look at it when --engine has written it")
    why = "they choose rows of a data set that is there: look at it when --engine has written it"
    refuse({"--where": asked.pages.where, "--pages": asked.pages.pages}, why)
    maps, files = asked.maps, asked.files
    looker = Looker(asked.model, method=maps.method, maps=files.maps, target=maps.target, batch_size=files.batch_size)
    return make_data_set(asked.take_path(), looker, asked.out, asked.engine, session)


def _is_data_set(inputs: Sequence[str]) -> bool:
    """Whether a data set of looks is named; a text may be no name of any file."""
    from jumok.app.engine.out_folder import MANIFEST

    try:
        return len(inputs) == 1 and (Path(inputs[0]) / MANIFEST).is_file()
    except (OSError, ValueError):
        return False


def _show_rows(asked: LookRequest, session: Session) -> Report:
    """Draw some rows of a data set; flags of models are refused, as all is in the data set."""
    from jumok.app.engine.pages import draw_pages

    if not _is_data_set(asked.inputs):
        raise JumokError(
            f"--where and --pages show rows of a data set, and {asked.inputs[0]} is none: write one first with --engine"
        )
    asked.refuse_of_text_models()
    why = "the maps are those of the data set"
    refuse({"--model": asked.model, "--method": asked.maps.method}, why)
    asked.refuse_of_models(why)
    if asked.files.export is not None:
        from jumok.app.engine.exported_rows import export_rows

        return export_rows(Path(asked.inputs[0]), asked.out / asked.files.export, asked.pages, session)
    return draw_pages(Path(asked.inputs[0]), asked.out, asked.pages, asked.files, session)


def _look_without_model(asked: LookRequest, session: Session) -> Report:
    """Show what is salient; flags that only a model has a use for are refused."""
    from jumok.app.commands.saliency import show_saliency

    asked.refuse_of_text_models()
    path = asked.take_path()
    if asked.maps.method in OF_MODELS:
        raise JumokError(f"the method {asked.maps.method} needs a model: name it with --model")
    asked.refuse_of_models("they need a model, and no --model was named")
    html, pictures, export = asked.files.html, asked.files.pictures, None
    if asked.files.export is not None:
        from jumok.app.fiftyone_folder import FiftyOneFolder

        export = FiftyOneFolder(asked.out / asked.files.export, "saliency")
    return show_saliency(
        path, asked.maps.method, "otsu", asked.out, session, html=html, pictures=pictures, export=export
    )


def _reads_texts(model: str) -> bool:
    """Whether a model is a run that classifies texts."""
    from jumok.tasks import task_named
    from jumok.tasks.running.config import read_run_config

    config = Path(model) / "config.yaml"
    return config.is_file() and task_named(str(read_run_config(config)["task"])) is LABEL


def _is_detector(model: str) -> bool:
    """Whether a model from elsewhere finds boxes in images."""
    if not model.startswith("hf:"):
        return False
    from jumok.tasks.detect.opening import LISTS
    from jumok.tasks.model_types import is_listed

    return is_listed(model, *LISTS)


def _is_listener(model: str) -> bool:
    """Whether a model from elsewhere writes what it hears."""
    if not model.startswith("hf:"):
        return False
    from jumok.tasks.listen.opening import LISTS
    from jumok.tasks.model_types import is_listed

    return is_listed(model, *LISTS)


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
    asked.refuse_export(OF_LOOKS)
    wanted = Asked(asked.maps.method, asked.maps.target, asked.texts.generate, asked.texts.chat)
    return look(asked.inputs, model, wanted, asked.out, session, html=asked.files.html)


def _look_at_texts(asked: LookRequest, model: str, session: Session) -> Report:
    """Show which words spoke for a class; flags that only images have a use for are refused."""
    from jumok.app.label.look import look

    asked.refuse_of_images(OF_IMAGES)
    asked.refuse_export(OF_LOOKS)
    return look(asked, model, session)
