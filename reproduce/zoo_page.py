"""The page of all architectures, made of their results."""

from __future__ import annotations

import datetime
import json
import platform
import re
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jumok.files import write_atomically
from reproduce.opened import write_difference
from reproduce.rows import RESULTS

Result = dict[str, Any]

STATUSES = {
    "exact": "the weights of every call agree with those that the model forms itself to 1e-5 (5e-5 where scores are "
    "large), tokens are where they are said to be, and rollout, where it is given, is the product of matrices",
    "partial": "true as far as it goes, but some tokens are only numbered, with a reason, or some weights could not be "
    "compared",
    "refused": "nothing is shown, and an error says why",
    "not attention": "no softmax over tokens in it: convolutions, state spaces, recurrence, linear attention",
    "wrong": "something is shown that is not so",
    "not judged": "no tiny model of it could be built or run here, watched or not",
}
LONGEST = 170
OPENED = RESULTS / "opened.json"
CHECKS = ("input", "probabilities")
"""Of `python -m reproduce opened`: a column of each."""
OPENED_BY = (
    "Image classifiers, opened from a folder by `hf:`. attention: as above. input: the largest difference to what the "
    "model's own image processor gives. probabilities: the largest difference to `transformers.pipeline`. The two come "
    "from `python -m reproduce opened`; [opened.md](opened.md) also names those that were not opened, and why."
)
PATH = re.compile(r"^[\w.@]+(\[\d+\])?: (?=\S)")


def write_page(path: Path, results: list[Result], opened: Path = OPENED) -> None:
    """Write the page.

    Args:
        path: of the Markdown file.
        results: of all architectures, as `zoo.judge_one` gives them.
        opened: the rows of `python -m reproduce opened`; without the file, their columns are left out.
    """
    libraries = list(dict.fromkeys(result["library"] for result in results))
    parts = ["# Which models can be watched", _introduce(results), _count(libraries, results)]
    for library in libraries:
        own = sorted((result for result in results if result["library"] == library), key=lambda result: result["name"])
        parts += [f"## {library}", *(_tell_opened(own, opened) if library == "transformers" else ()), *_tables(own)]
    write_atomically(path, "\n\n".join(parts) + "\n")


def _introduce(results: list[Result]) -> str:
    versions = ", ".join(
        f"{name} {_find_version(name)}" for name in ("jumok", "torch", "transformers", "timm", "vit-pytorch")
    )
    made = f"Made on {datetime.date.today().isoformat()} with {versions}, Python {platform.python_version()}, on a CPU"
    return (
        "Each architecture of `transformers`, one model of each family of timm and the models of vit-pytorch, built "
        "tiny with random weights that make attention choose, and judged by `python -m reproduce zoo`. Places are "
        "checked on the first map that lies over an image, or on its middle window, by changing pixels; where "
        "convolutions carry a pixel to several tokens, only coarsely. Models of several inputs are given all that "
        "could be made for them here. Options that change a model's attention are not covered."
        f"\n\n{made}: {len(results)} architectures."
    )


def _find_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _count(libraries: list[str], results: list[Result]) -> str:
    lines = [f"| status | {' | '.join(libraries)} | meaning |", f"|---|{'---:|' * len(libraries)}---|"]
    counts = Counter((result["library"], result["status"]) for result in results)
    for status, meaning in STATUSES.items():
        cells = " | ".join(str(counts[library, status]) for library in libraries)
        lines.append(f"| {status} | {cells} | {meaning} |")
    shares = " | ".join(_tell_share(counts, library) for library in libraries)
    lines.append(f"| right | {shares} | exact or not attention, of all that were judged |")
    return "\n".join(lines)


def _tell_share(counts: Counter[tuple[str, str]], library: str) -> str:
    judged = sum(counts[library, status] for status in STATUSES if status != "not judged")
    right = counts[library, "exact"] + counts[library, "not attention"]
    return f"{100 * right / judged:.1f}%" if judged else "-"


def _tell_opened(results: list[Result], path: Path) -> Iterable[str]:
    """A row of each image classifier: how its attention was judged, and how far it is opened as it is meant to be."""
    checks = _read_checks(path)
    rows = [
        f"| {result['name']} | {result['status']} | {' | '.join(map(write_difference, checks[result['name']]))} |"
        for result in results
        if result["name"] in checks
    ]
    if rows:
        yield OPENED_BY
        yield "\n".join([f"| image classifier | attention | {' | '.join(CHECKS)} |", "|---|---|---:|---:|", *rows])


def _read_checks(path: Path) -> dict[str, list[float]]:
    """By the name of an architecture, the largest difference of each kind that any of its classes has."""
    rows = json.loads(path.read_text("utf-8"))["rows"] if path.exists() else []
    names = {row["model"] for row in rows}
    return {
        name: [max(row["ours"] for row in rows if (row["model"], row["measure"]) == (name, check)) for check in CHECKS]
        for name in names
    }


def _tables(results: list[Result]) -> Iterable[str]:
    of_status = {status: [result for result in results if result["status"] == status] for status in STATUSES}
    yield f"**exact**: {_list(of_status['exact'])}"
    yield f"**not attention**: {_list(of_status['not attention'])}"
    for status in ("wrong", "refused", "partial", "not judged"):
        if of_status[status]:
            rows = [f"| {result['name']} | {_explain(result)} |" for result in of_status[status]]
            yield "\n".join([f"| {status} | why |", "|---|---|", *rows])


def _list(results: list[Result]) -> str:
    return ", ".join(result["name"] for result in results) or "none"


def _explain(result: Result) -> str:
    """The reasons of a result, each once, without the names of the modules."""
    if "reason" in result:
        reasons = [result["reason"].split(" | ")[0]]
    else:
        reasons = [*result["wrong"], *result["refused"], *result["partial"]]
    plain = dict.fromkeys(PATH.sub("", reason)[:LONGEST] for reason in reasons)
    return "; ".join([*plain][:3]).replace("|", "\\|").replace("\n", " ")
