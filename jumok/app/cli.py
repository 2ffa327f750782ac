"""The command line: `jumok train`, `translate`, `look`, `measure`, ... Heavy imports happen inside the commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer

from jumok.errors import Interrupted, JumokError

COMMANDS = {
    "train": "Train a model on images, sentence pairs or questions; what was stopped goes on with --resume RUN.",
    "translate": "Translate sentences, and show which source word each target word looked at.",
    "ask": "Answer questions about an image, and show where was looked for each answer.",
    "look": "Write for each image what it was taken for and a picture of where the model looked.",
    "saliency": "Show what stands out in images without any model, and box the objects that it makes.",
    "measure": "Score where a model looks against the truth (masks, alignments), beside simple baselines.",
    "select": "Keep the columns of a table that tell most of its target, as attention over features.",
    "eval": "Judge a trained model on data that it has not learned from: accuracy, or BLEU and chrF.",
    "compare": "Train several systems on the same data for the same time, and show them side by side.",
    "sample": "Write generated images, questions or sentence pairs, with the truth about them.",
    "demo": "Do all of it on generated data, and write a report.",
}
"""Each is a module of `jumok.app.commands` that has `command`, a function, or `app`, a group of them."""
MODULES = {"eval": "evaluate"}
"""Where the module is named otherwise than the command."""
EXTRAS = {"transformers": "hf", "timm": "timm"}
"""Packages that are optional, and the extra that brings each."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status: 0, 2 for what the user can mend, 128 + n for signal n."""
    try:
        status = _status(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command, as typed after the program's name; its errors are the caller's to handle.

    Returns:
        the exit status that it asks for.
    Raises:
        JumokError: what the user can mend.
        Interrupted: a signal stopped it in good order.
    """
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    command = typer.main.get_command(build(chosen))
    status: Any = command.main(list(arguments), prog_name="jumok", standalone_mode=False)
    return status if isinstance(status, int) else 0


def build(chosen: str | None) -> typer.Typer:
    """Make the command line. Of all commands but the chosen one only the name and a line of help, for speed."""
    app = typer.Typer(
        help="Train models that attend, see where they attend, and measure whether that can be believed.",
        no_args_is_help=True,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name, line in COMMANDS.items():
        module: Any = import_module(f"jumok.app.commands.{MODULES.get(name, name)}") if name == chosen else None
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name, help=line)
        else:
            app.command(name, help=line)(module.command if module else _not_chosen)
    return app


def _not_chosen() -> None:
    """Stand in for a command in the list of all."""


def _status(arguments: list[str]) -> int:
    """Run one command, and say what went wrong in one line."""
    try:
        return run(arguments)
    except JumokError as error:
        return _say(error, 2)
    except Interrupted as stop:
        return _say(stop, 128 + stop.signum)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package not in EXTRAS:
            raise
        return _say(f"this needs {package}, which is not installed: pip install 'jumok[{EXTRAS[package]}]'", 2)
    except typer.Abort:
        return _say("aborted", 1)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return _usage(error)


def _usage(error: Any) -> int:
    """What the command line itself found wrong: an unknown option, a missing argument, or no command at all."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        _say(f"{error.format_message().rstrip('.')}{hint}", 2)
    return int(error.exit_code)


def _say(message: object, status: int) -> int:
    """One line on the error stream, with the process's number where there are several."""
    rank = os.environ.get("RANK") if os.environ.get("WORLD_SIZE", "1") != "1" else None
    text = " ".join(str(message).split())
    sys.stderr.write(f"jumok{f' (process {rank})' if rank else ''}: {text}\n")
    return status
