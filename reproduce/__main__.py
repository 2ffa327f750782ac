"""`python -m reproduce NAME [options]`: make a paper's table again, or some of its rows.

Rows go to reproduce/results/NAME.json and NAME.md as each is done. `--quick` tries a table at small sizes in a minute
or two and keeps nothing unless `--out` says where.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import torch
from rich.console import Console

from jumok.errors import JumokError
from jumok.extras import explain_missing
from reproduce import torchvision_names
from reproduce.rows import RESULTS, How, Paper, positive

TABLES = (
    "adding_problem",
    "copy_memory",
    "sequential_mnist",
    "ram",
    "reversal",
    "multi30k",
    "korean_english",
    "stn",
    "cifar10",
    "easy_vqa",
    "sort_of_clevr",
    "strangers",
    "faithful_maps",
    "zoo",
    "opened",
)
"""Modules of this package; each has TITLE, ABOUT, QUICK (options at small sizes), add_options(parser), run(options)."""

PACKAGES = {"skimage": "scikit-image"}
"""Packages that are installed by another name than they are imported by."""


def main(arguments: Sequence[str]) -> int:
    torchvision_names.ensure()
    modules = {name: importlib.import_module(f"reproduce.{name}") for name in TABLES}
    options = _parser(modules, quick="--quick" in arguments).parse_args(arguments)
    torch.set_num_threads(options.threads)
    out = options.out or (None if options.quick else RESULTS / f"{options.name}.json")
    module = modules[options.name]
    try:
        how = How(told(arguments), options.seed, options.threads, options.quick)
        paper = Paper(options.name, module.TITLE, module.ABOUT, how, out)
        for row in module.run(options):
            paper.add(row)
    except JumokError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"error: {explain_missing(error) or _name_package(error)}", file=sys.stderr)
        return 2
    paper.show(Console(width=None if sys.stdout.isatty() else 240))
    return 0 if options.quick or paper.reached else 1


def _name_package(error: ModuleNotFoundError) -> str:
    """What is not installed, of what jumok itself has no use for."""
    package = str(error.name).partition(".")[0]
    return f"this table needs {package}, which is not installed: pip install {PACKAGES.get(package, package)}"


def told(arguments: Sequence[str]) -> str:
    """The command as a table states it: where a reader's folders lie is the reader's matter."""
    plain = [Path(text).name if Path(text).is_absolute() else text for text in arguments]
    return shlex.join(["python", "-m", "reproduce", *plain])


def _parser(modules: dict[str, ModuleType], *, quick: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reproduce", description="Make a paper's table again.")
    tables = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, module in modules.items():
        table = tables.add_parser(name, help=_plain(module.TITLE), description=module.ABOUT)
        table.add_argument("--quick", action="store_true", help="small sizes, a minute or two; keeps no rows")
        table.add_argument("--threads", type=positive, default=1, help="of torch (default: %(default)s)")
        table.add_argument("--seed", type=int, default=0, help="of data and weights (default: %(default)s)")
        table.add_argument("--out", type=Path, help=f"the table's file (default: reproduce/results/{name}.json)")
        module.add_options(table)
        if quick:
            table.set_defaults(**module.QUICK)
    return parser


def _plain(text: str) -> str:
    """As argparse wants a text that is to be shown as it is."""
    return text.replace("%", "%%")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
