"""The command line: `jumok train`, `translate`, `look`, `measure`, ... Heavy imports happen inside the commands."""

from __future__ import annotations

import inspect
import io
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from jumok.app.help_texts import translate_help, translate_usage
from jumok.app.signals import stopping_in_order
from jumok.app.telling import tell
from jumok.errors import Interrupted, JumokError, Stopped, find_close, first_line
from jumok.extras import explain_missing
from jumok.files import shorten
from jumok.language import later, speaking, translate
from jumok.machine import wait_briefly
from jumok.wording import printable

SAID_BY_THE_READER = "DecompressionBombWarning"
"""Of Pillow, on images of so many pixels that they are refused in words of our own."""
COMMANDS = {
    "train": "Train a model on images, sentence pairs, questions or texts; resume an interrupted run with "
    "--resume RUN.",
    "eval": "Evaluate a trained model on held-out data: accuracy, or BLEU and chrF.",
    "inspect": "Look at a data set of images: classes, sizes, copies, broken and left-out files.",
    "look": "Write each image's prediction and a heatmap of where the model looked.",
    "translate": "Translate sentences, and show which source word each target word looked at.",
    "ask": "Answer questions about an image, and show where the model looked for each answer.",
    "predict": "Write predictions for many inputs, with probabilities, as CSV, JSON lines or Parquet.",
    "measure": "Measure whether maps are faithful to the model and fit masks or links, beside simple baselines.",
    "compare": "Train several systems on the same data for the same time, and show them side by side.",
    "export": "Write a trained model as ONNX, a torch.export program or a CTranslate2 model, and check it.",
    "saliency": "Saliency maps and object boxes, without a model.",
    "select": "Select the columns that best predict a target.",
    "systems": "List the models that can be trained, or describe one, also one of hf: or timm:.",
    "runs": "List the runs in a folder: system, data, best figure, date, size and state.",
    "sample": "Write generated images, questions or sentence pairs, with ground truth.",
    "demo": "Take a tour on generated data: train, look, measure, and one page that shows it.",
}
"""Each is a module of `jumok.app.commands` that has `command`, a function, or `app`, a group of them."""
MODULES = {"eval": "evaluate"}
"""Where the module is named otherwise than the command."""
OUTSIDE: dict[type[Exception], tuple[str, str]] = {
    UnicodeError: (later("a name or text cannot be read or written as such"), later("use names and texts in UTF-8")),
    RecursionError: (later("something given is nested too deeply"), later("make it flatter")),
    OverflowError: (later("a number is too large"), later("give a smaller one")),
    MemoryError: (later("there is not enough memory"), later("give less at a time, or smaller sizes")),
}
"""Errors that the world around causes more often than a fault in jumok: what they mean, and what to do."""
GIVE_WAY_SECONDS = 3.0
"""An error that all processes of a training meet is said by the first alone: the others wait so long before they say
theirs, and by then torchrun has ended them."""
LOOP = "Symlink loop"
"""How `Path.resolve` begins, before Python 3.13, what it says of a link that leads to itself."""
COMMANDS_OF_TEXTS = ("look", "ask", "translate")
"""Those that take texts as they are, beside paths."""
MAY_BE_EMPTY = "--na"
SIGNALLED = 128
"""Exit statuses from here on are of signals."""
STOPPED_BY_CTRL_C = SIGNALLED + signal.SIGINT
"""What typer makes of a `KeyboardInterrupt`."""
FROM_OUTSIDE: tuple[type[Exception], ...] = (OSError, *OUTSIDE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status: 0, 2 for what the user can mend, 128 + n for signal n."""
    _make_writable()
    wait_briefly()
    asked, words = split_off_language(sys.argv[1:] if arguments is None else arguments)
    try:
        with speaking(asked), warnings.catch_warnings():
            warnings.showwarning = _say_warning
            status = _status(words)
        sys.stdout.flush()
    except JumokError as error:
        status = _say(error, 2)
    except BrokenPipeError:  # whoever read our output has had enough
        _print_nowhere()
        status = 1
    except OSError as error:  # a disk that is full
        _print_nowhere()
        status = _say(f"cannot write the output: {error.strerror or error}; free some space", 2)
    sys.exit(status)


def _make_writable() -> None:
    """Have an output that takes all that is printed, where it was closed or its encoding lacks some signs."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed: else the next file that is opened would be taken for it
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (until the end)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _print_nowhere() -> None:
    """Let the interpreter throw away, at its end, what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(arguments: Sequence[str]) -> int:
    """Run one command, as typed after the program's name; its errors are the caller's to handle.

    Returns:
        the exit status that it asks for.
    Raises:
        JumokError: what the user can mend.
        Interrupted: a signal stopped it in good order.
    """
    asked, words = split_off_language(arguments)
    with speaking(asked):
        _refuse_empty(words)
        command = typer.main.get_command(build(words))
        translate_help(command)
        status: Any = command.main(words, prog_name="jumok", standalone_mode=False)
    return status if isinstance(status, int) else 0


def _refuse_empty(words: Sequence[str]) -> None:
    """Refuse an empty word, such as a shell makes of "$OUT" that was never set: as a path it means this folder.

    Raises:
        JumokError: there is one where a path, a number or a name belongs.
    """
    takes_texts = bool(words) and words[0] in COMMANDS_OF_TEXTS
    for before, word in pairwise(["", *words]):
        flag = before if word == "" else word.removesuffix("=") if word.startswith("--") and word.endswith("=") else ""
        if flag == MAY_BE_EMPTY:
            continue
        if flag.startswith("--") and flag != "--" and "=" not in flag:
            raise JumokError(f"{flag} is empty: give a value, or leave it out")
        if word == "" and not takes_texts:
            raise JumokError("a word of the command is empty, where a path belongs: give it, or leave it out")


def split_off_language(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """Take --language and what follows it from the words, wherever it stands; help is in that language, too.

    Returns:
        the language, None where it is not asked for; and the other words.

    >>> split_off_language(["--language", "ko", "look", "a.png"])
    ('ko', ['look', 'a.png'])
    """
    words = list(arguments)
    options = words[: words.index("--")] if "--" in words else words
    for place, word in enumerate(options):
        if word.startswith("--language="):
            return word.partition("=")[2], words[:place] + words[place + 1 :]
        if word == "--language" and place + 1 < len(options):
            return words[place + 1], words[:place] + words[place + 2 :]
    return None, words


def build(arguments: Sequence[str]) -> typer.Typer:
    """Make the command line. Of all commands but the chosen one only the name and a line of help, for speed."""
    chosen = next((word for word in arguments or _being_completed() if not word.startswith("-")), None)
    app = typer.Typer(
        help="Train attention models, see where they look, and measure whether those maps can be trusted.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_begin)
    for name, line in COMMANDS.items():
        module: Any = import_module(f"jumok.app.commands.{MODULES.get(name, name)}") if name == chosen else None
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name, help=line)
            continue
        command = module.build(arguments) if hasattr(module, "build") else getattr(module, "command", _not_chosen)
        app.command(name, help=line if module is None else inspect.getdoc(command))(command)
    return app


def _print_version(wanted: bool) -> None:
    """Print the version, and nothing else."""
    if wanted:
        from jumok.version import __version__

        typer.echo(f"jumok {__version__}")
        raise typer.Exit


def _begin(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            help="Language of help, messages and pages: en or ko (default: that of the locale). May stand anywhere in "
            "the line.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train attention models, see where they look, and measure whether those maps can be trusted."""


def _not_chosen() -> None:
    """Stand in for a command in the list of all."""


def _being_completed() -> list[str]:
    """The words after the program's name that a shell asks to complete, if one does."""
    return os.environ.get("_TYPER_COMPLETE_ARGS", "").split()[1:]


def _status(arguments: list[str]) -> int:
    """Run one command, and say what went wrong in one line; with --verbose, after the traceback."""
    try:
        _check_current_folder()
        with stopping_in_order():
            status = run(arguments)
        return _say_stopped(signal.SIGINT) if status == STOPPED_BY_CTRL_C else status
    except BrokenPipeError:
        raise
    except Stopped as stop:
        return _say_stopped(stop.signum)
    except Exception as error:
        if "--verbose" in arguments:
            traceback.print_exception(error)
        return _explain(error)


def _check_current_folder() -> None:
    """Refuse to begin where the current folder is gone: libraries that are opened later end the process then.

    Raises:
        JumokError: it is gone, or may not be entered.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise JumokError(f"the current folder cannot be used ({error.strerror}): change to another one") from None


def _say_stopped(signum: int) -> int:
    return _say(translate("stopped by {name}", name=signal.Signals(signum).name), 128 + signum)


def _explain(error: Exception) -> int:
    """Say what went wrong in one line. Returns the exit status."""
    if isinstance(error, JumokError):
        return _say(error, 2)
    if isinstance(error, Interrupted):
        return _say(error, 128 + error.signum)
    if isinstance(error, typer.Abort):
        return _say(translate("aborted"), 1)
    if hasattr(error, "format_message"):
        return _usage(error)
    if isinstance(error, FROM_OUTSIDE):
        return _say(_explain_outside(error), 2)
    if isinstance(error, RuntimeError) and str(error).startswith(LOOP):
        return _say(translate("cannot read or write: {reason}", reason=first_line(error)), 2)
    missing = explain_missing(error) if isinstance(error, ModuleNotFoundError) else None
    if missing:
        return _say(missing, 2)
    what = f"{type(error).__name__}: {error}"
    return _say(translate("a fault in jumok: {what}; please report it with what --verbose shows", what=what), 1)


def _explain_outside(error: Exception) -> str:
    """What the machine, a name or a number from outside has made impossible, where no better place has told it."""
    if isinstance(error, OSError):
        reason = error.strerror or first_line(error)
        if error.filename is None:
            return translate("cannot read or write: {reason}", reason=reason)
        name = shorten(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else error.filename
        return translate("cannot read or write {file}: {reason}", file=name, reason=reason)
    reason, advice = next(why for kind, why in OUTSIDE.items() if isinstance(error, kind))
    return f"{translate(reason)} ({first_line(error)}): {translate(advice)}"


def _usage(error: Any) -> int:
    """What the command line itself found wrong: an unknown option, a missing argument, or no command at all."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        context = getattr(error, "ctx", None)
        if close := find_close(getattr(error, "option_name", ""), getattr(error, "possibilities", None) or ()):
            error.possibilities = close
        message = translate_usage(error.format_message().rstrip(".").replace("Value error, ", "", 1))
        help_of = f"{context.command_path} --help" if context else ""
        _say(translate("{message} (see {command})", message=message, command=help_of) if context else message, 2)
    return int(error.exit_code)


def _say_warning(message: object, category: type[Warning], *_place: object, **_more: object) -> None:
    """One line for a library's warning, without the line of source that Python adds."""
    if category.__name__ != SAID_BY_THE_READER:
        text = " ".join(str(message).split())
        sys.stderr.write(printable(tell(f"warning: {text}")) + "\n")


def _say(message: object, status: int) -> int:
    """One line on the error stream, with the process's number where there are several."""
    rank = os.environ.get("RANK") if os.environ.get("WORLD_SIZE", "1") != "1" else None
    if rank not in (None, "0") and status < SIGNALLED:
        time.sleep(GIVE_WAY_SECONDS)
    text = printable(tell(" ".join(str(message).split())))
    with suppress(OSError):  # a full disk takes no errors either; the status still tells
        sys.stderr.write(f"jumok{f' (process {rank})' if rank else ''}: {text}\n")
    return status
