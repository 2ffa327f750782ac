"""Every architecture of `transformers`, timm and vit-pytorch, tiny, of random weights: if attention is shown truly.

python -m reproduce zoo --library transformers    about 10 minutes on one core; timm: about 8, vit-pytorch: about 3
python -m reproduce zoo --only "vit*,bert"        some of them

Each architecture is judged in a process of its own, and its row is written as soon as it is done: a run that is broken
off goes on where it was. Rows go to reproduce/results/zoo.jsonl, the page made of them to docs/models.md.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import multiprocessing
import os
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from jumok.errors import JumokError
from reproduce.rows import RESULTS, Row, positive

TITLE = "Attention shown of every architecture of transformers, timm and vit-pytorch"
ABOUT = (
    "Each architecture is built tiny, with random weights large enough for attention to choose, and watched. exact: "
    "the weights of every call agree with those that the model forms itself, and axes and rollout hold; partial: some "
    "tokens are only numbered, and a reason is given, or some weights could not be compared; refused: nothing is "
    "shown, and a reason is given; not attention: no softmax attention in it; not judged: it could not be built or run "
    "here; wrong: the rest."
)
QUICK = {"limit": 5, "rows": None, "page": None}
LIBRARIES = ("transformers", "timm", "vit-pytorch")
STATUSES = ("exact", "partial", "refused", "not attention", "wrong", "not judged")
ROWS = RESULTS / "zoo.jsonl"
PAGE = Path(__file__).parents[1] / "docs" / "models.md"
MOST_MEMORY = 8 << 30

Result = dict[str, Any]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--library", choices=LIBRARIES, action="append", help="one only (default: all)")
    parser.add_argument("--only", default="*", metavar="GLOBS", help="names of architectures, by commas")
    parser.add_argument("--limit", type=positive, help="judge so many new ones at most")
    parser.add_argument("--timeout", type=positive, default=60, help="seconds for each (default: %(default)s)")
    parser.add_argument("--again", default="", metavar="STATUSES", help="judge anew those of a status; or: all")
    parser.add_argument("--rows", type=Path, default=ROWS, help="the results, one a line")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page made of them")


def run(options: argparse.Namespace) -> Iterator[Row]:
    from reproduce.zoo_page import write_page

    kept = read_results(options.rows)
    for library in options.library or LIBRARIES:
        for result in judge_library(library, options, kept):
            kept[library, result["name"]] = result
            _append(options.rows, result)
            print(f"{library} {result['name']}: {result['status']} ({result['seconds']} s)", flush=True)
        own = [result for (home, _), result in kept.items() if home == library]
        counts, seconds = Counter(result["status"] for result in own), sum(result["seconds"] for result in own)
        for status in STATUSES:
            goal = "<= 0" if status == "wrong" else ""
            yield Row(library, "every architecture", status, counts[status], goal, seconds=seconds)
    if options.page:
        write_page(options.page, list(kept.values()))


def read_results(path: Path | None) -> dict[tuple[str, str], Result]:
    """The newest result of each architecture, by library and name."""
    if path is None or not path.exists():
        return {}
    try:
        results = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {(result["library"], result["name"]): result for result in results}
    except (ValueError, KeyError, TypeError) as error:
        raise JumokError(f"{path} holds no results of the zoo ({error}): name another file by --rows") from error


def _append(path: Path | None, result: Result) -> None:
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result, ensure_ascii=False) + "\n")


def judge_library(library: str, options: argparse.Namespace, kept: dict[tuple[str, str], Result]) -> Iterator[Result]:
    """Judge what is wanted of a library and has no result yet."""
    warnings.simplefilter("ignore")
    prepare(library)
    from reproduce.zoo_models import list_names

    again = {part.strip() for part in options.again.split(",")}
    done = {name for (home, name), result in kept.items() if home == library and not {"all", result["status"]} & again}
    wanted = [part.strip() for part in options.only.split(",")]
    names = [name for name in list_names(library) if any(fnmatch.fnmatchcase(name, part) for part in wanted)]
    for name in [name for name in names if name not in done][: options.limit]:
        start = time.perf_counter()
        result = judge_apart(library, name, options.timeout)
        yield {"library": library, "name": name, **result, "seconds": round(time.perf_counter() - start, 1)}


def prepare(library: str) -> None:
    """Import what all need, once and not in each process."""
    from reproduce import zoo_judge, zoo_models  # noqa: F401

    first = {"transformers": ("bert", "clip"), "timm": ("vit_tiny_patch16_224",), "vit-pytorch": ("vit.ViT",)}
    for name in first[library]:
        with contextlib.suppress(zoo_models.CannotBuildError):
            zoo_models.make(library, name)


def judge_apart(library: str, name: str, timeout: float) -> Result:
    """Judge in a process of its own, so that a crash or a hang ends one architecture only."""
    here = multiprocessing.get_context("fork")
    receiving, sending = here.Pipe(duplex=False)
    process = here.Process(target=_work, args=(library, name, sending))
    process.start()
    sending.close()
    try:
        if receiving.poll(timeout):
            result: Result = receiving.recv()
        else:
            result = {"status": "not judged", "reason": f"took more than {timeout:g} s"}
    except EOFError:
        result = {"status": "not judged", "reason": "its process ended without a result"}
    process.kill()
    process.join()
    receiving.close()
    return result


def _work(library: str, name: str, sending: Connection) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    with Path(os.devnull).open("w") as nowhere:
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
        sending.send(judge_one(library, name))


def judge_one(library: str, name: str) -> Result:
    """The result of one architecture.

    Args:
        library: a name in `LIBRARIES`.
        name: of the model type, of timm's model, or of a file and class of vit-pytorch.
    Returns:
        its status, and the verdict or the reason for there being none.
    """
    from reproduce.zoo_judge import judge
    from reproduce.zoo_models import CannotBuildError, make

    try:
        subject = make(library, name)
    except CannotBuildError as error:
        return {"status": "not judged", "reason": str(error)}
    except Exception as error:
        return {"status": "not judged", "reason": f"{type(error).__name__}: {error}"[:300]}
    verdict = judge(subject)
    shapes = {key: list(value.shape) for key, value in subject.inputs.items() if hasattr(value, "shape")}
    about = {"model": type(subject.model).__name__, "kind": subject.kind, "inputs": shapes, "made": subject.made}
    return {"status": verdict.status, **about, **asdict(verdict)}
