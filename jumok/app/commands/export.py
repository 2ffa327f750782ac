"""`jumok export`: a run's model as files for other programs, checked against the model itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.app.exported import Exported, ToExport
from jumok.app.options import refuse
from jumok.app.outputs import check_writable
from jumok.app.session import Session, as_json, in_session
from jumok.errors import JumokError
from jumok.language import join_later, later

if TYPE_CHECKING:
    from jumok.tasks.exporting import Graph


# -- options ------------------------------------------------------------------------------------

RunFolder = Annotated[Path, typer.Argument(help="Folder of the run.", show_default=False)]
Data = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Images, questions, sentence pairs or texts to check the files on (default: the run's own).",
        show_default=False,
    ),
]
Images = Annotated[
    Path | None,
    typer.Option("--images", help="Folder of the images of questions (left out: the run's own).", show_default=False),
]
Onnx = Annotated[bool, typer.Option("--onnx", help="Write ONNX graphs (the default).")]
Pt2 = Annotated[bool, typer.Option("--pt2", help="Write torch.export programs.")]
CTranslate2 = Annotated[
    bool, typer.Option("--ctranslate2", help="Write a CTranslate2 model (of the system transformer).")
]
WithMap = Annotated[
    bool,
    typer.Option(
        "--with-map",
        help="The graph also gives the attention rollout (vit systems, and hf: models whose rollout is checked).",
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for the files (default RUN/export).", show_default=False)
]


@in_session("export", "threads")
def command(
    run: RunFolder,
    data: Data = None,
    images: Images = None,
    onnx: Onnx = False,
    pt2: Pt2 = False,
    ctranslate2: CTranslate2 = False,
    with_map: WithMap = False,
    out: Out = None,
    *,
    session: Session,
) -> Exported:
    """Write a run's model for other programs: ONNX graphs, torch.export programs, or a CTranslate2 model.

    Each ONNX graph is compared with the model on real inputs (to 1e-4). Beside it stands a JSON file with what its
    user must know: classes, size, mean and standard deviation, or the vocabulary.
    """
    from jumok.tasks.running.run import task_of

    task = task_of(run)
    wanted = [name for name, given in (("onnx", onnx), ("pt2", pt2), ("ctranslate2", ctranslate2)) if given] or ["onnx"]
    verb = task.verb("export")
    what = f"{run} is trained to {task.does}"
    _check_formats(wanted, verb.FORMATS, what)
    if "--images" not in getattr(verb, "PLACES", ()):
        refuse({"--images": images}, what)
    _check_data(data or [])
    _check_packages(wanted)
    found = Exported(run, out or run / "export")
    check_writable(found.folder)
    if graphs := [name for name in wanted if name != "ctranslate2"]:
        places = {} if images is None else {"images": images}
        model = verb.prepare(run, data or [], with_map=with_map, session=session, **places)
        _write_graphs(model, graphs, found, session)
    if "onnx" in wanted and hasattr(verb, "check_decoding"):
        _note(found, later("decoding"), *verb.check_decoding(run, data or [], found.folder))
    if "ctranslate2" in wanted:
        _write_ctranslate(verb.write_ctranslate, data or [], found)
    return found


def _check_formats(wanted: Sequence[str], known: Collection[str], what: str) -> None:
    """Refuse a format that this run has not."""
    for name in wanted:
        if name not in known:
            raise JumokError(f"--{name} is for translators, and {what}: use --onnx or --pt2")


def _check_data(data: Sequence[Path]) -> None:
    """Refuse what was meant as the name of a file to write: it would be looked for as data."""
    name = next((path for path in data if path.suffix.lower() in (".onnx", ".pt2")), None)
    if name is not None:
        raise JumokError(
            f"{name} is no data to check the model on: --onnx and --pt2 take no name, --out names a folder"
        )


def _write_ctranslate(write: Callable[..., Any], data: Sequence[Path], found: Exported) -> None:
    """Write the model for CTranslate2, and keep what its check found."""
    import torch

    folder = found.folder / "ctranslate2"
    _note(found, "ctranslate2", *write(found.run, data, folder, torch.get_num_threads()))
    found.files.append(f"{folder.name}/")


def _note(found: Exported, name: str, check: Mapping[str, Any], lines: Sequence[str]) -> None:
    """Keep what a check found."""
    found.checks[name] = check
    found.said += [join_later(": ", [name, line]) for line in lines]


def _check_packages(wanted: Sequence[str]) -> None:
    """Refuse before anything is written where a package is missing."""
    from jumok.tasks.exporting import ONNX_PACKAGES, require

    require(*(ONNX_PACKAGES if "onnx" in wanted else ()), *(("ctranslate2",) if "ctranslate2" in wanted else ()))


def _write_graphs(model: ToExport, formats: Sequence[str], found: Exported, session: Session) -> None:
    """Trace each graph once, and write it in every format, with a JSON file beside it."""
    from jumok.files import write_atomically
    from jumok.tasks.exporting import make_program, save_onnx, save_program

    found.remarks += model.remarks
    for graph in model.graphs:
        session.say(f"tracing {graph.name}")
        program = make_program(graph)
        about = _describe(model, graph)
        if "onnx" in formats:
            worst = save_onnx(program, graph, found.folder / f"{graph.name}.onnx", model.batches[graph.name])
            about["checked"] = {"on": model.checked_on, "greatest_difference": worst}
            line = later(
                "opset {opset}; greatest difference on {inputs}: {told}",
                opset=str(about["opset"]),
                inputs=model.checked_on,
                told=", ".join(f"{name} {value:.2g}" for name, value in worst.items()),
            )
            _note(found, f"{graph.name}.onnx", {"opset": about["opset"], **about["checked"]}, [line])
        if "pt2" in formats:
            save_program(program, found.folder / f"{graph.name}.pt2")
        write_atomically(found.folder / f"{graph.name}.json", as_json(about, indent=2) + "\n")
        found.files += [f"{graph.name}.{kind}" for kind in (*formats, "json")]
    for name, text in model.beside.items():
        write_atomically(found.folder / name, text)
        found.files.append(name)


def _describe(model: ToExport, graph: Graph) -> dict[str, Any]:
    """What whoever calls the graph must know."""
    from jumok.tasks.exporting import OPSET
    from jumok.version import __version__

    about = {"format": "jumok-export/1", "jumok": __version__, "system": model.system, "opset": OPSET}
    return {**about, **graph.describe(), **model.facts}
