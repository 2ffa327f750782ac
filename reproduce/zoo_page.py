"""The page of all architectures, made of their results."""

from __future__ import annotations

import datetime
import platform
import re
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jumok.files import write_atomically

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
PATH = re.compile(r"^[\w.@]+(\[\d+\])?: (?=\S)")


def write_page(path: Path, results: list[Result]) -> None:
    """Write the page.

    Args:
        path: of the Markdown file.
        results: of all architectures, as `zoo.judge_one` gives them.
    """
    libraries = list(dict.fromkeys(result["library"] for result in results))
    parts = ["# Which models can be watched", _introduce(results), _count(libraries, results)]
    for library in libraries:
        own = sorted((result for result in results if result["library"] == library), key=lambda result: result["name"])
        parts += [f"## {library}", *_tables(own)]
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
        "could be made for them here. Options that change a model's attention are not covered. Whether image "
        "classifiers are given what their own processor makes of an image, and give the probabilities of their "
        f"library, is in [opened.md](opened.md).\n\n{made}: {len(results)} architectures."
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
