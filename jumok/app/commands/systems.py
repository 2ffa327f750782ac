"""`jumok systems`: which models there are, and what one of them is made of."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.app.session import Report, Session, in_session
from jumok.language import later, translate
from jumok.tasks import TASKS, task_of_system

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from rich.console import RenderableType

ELSEWHERE = ("hf:", "timm:")
FOUND_IN_DATA = frozenset({"classes", "image_size", "answers", "words", "source_vocabulary", "target_vocabulary"})
"""Options that follow from the data, and cannot be given."""
CHOSEN_BY_SIZE = later("chosen by size")
GATES = {
    "se": ("squeeze_excitation", "SqueezeExcitation"),
    "cbam": ("cbam", "CBAM"),
    "eca": ("efficient_channel", "EfficientChannel"),
}
"""The mechanism behind each gate of a residual network: its file, and its class."""
ARGUMENT = re.compile(r"^ {4}(\w[\w, ]*): ")
PAPER = re.compile(
    r"[A-Z][^\s,;:(]*(?:(?:, | & | and | et al\.)[^\s,;:(]*)* \d{4}(?: \(\w+\))?, (?:NIPS \d+ and )?"
    r"arXiv \d{4}\.\d{4,5}"
)


@in_session("systems", "device", "threads")
def command(
    name: Annotated[
        str | None,
        typer.Argument(help="A system, hf:NAME-OR-FOLDER or timm:NAME; left out: a list of all.", show_default=False),
    ] = None,
    *,
    session: Session,
) -> Report:
    """List the models that can be trained, or describe one: its options, mechanism and paper.

    Of a model from elsewhere: what it takes, its classes, and what can be shown of it; of an image classifier the
    size, mean and deviation of its images, and which methods can tell where it looks.
    """
    if name is None:
        return SystemList.of_all()
    if name.startswith(ELSEWHERE):
        from jumok.app.classify.described import describe
        from jumok.app.described_others import describe_other

        return describe_other(name, session) or describe(name, session)
    return SystemAbout.of(name)


@dataclass(frozen=True)
class SystemList:
    """All systems.

    Args:
        rows: name, kind of data, what it attends to, what it is.
    """

    rows: Sequence[Mapping[str, str]]

    @classmethod
    def of_all(cls) -> SystemList:
        """In the order of the tasks."""
        from jumok.systems import looks_at

        names = [name for task in TASKS.values() for name in task.systems]
        return cls(
            [
                {
                    "system": name,
                    "data": task_of_system(name).word,
                    "attends_to": looks_at(name),
                    "model": describe_model(name),
                }
                for name in names
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"systems": list(self.rows)}

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=translate("Systems"), title_justify="left")
        headings = (translate("system"), translate("data"), translate("attends to"), translate("model"))
        for number, heading in enumerate(headings):
            table.add_column(heading, no_wrap=number < 2)
        for row in self.rows:
            name, *words = row.values()
            table.add_row(Text(name), *(Text(translate(word)) for word in words))
        yield table
        yield "also: hf:NAME-OR-FOLDER (transformers; images, texts) and timm:NAME (images); see jumok systems NAME"


@dataclass(frozen=True)
class SystemAbout:
    """One system.

    Args:
        name: of it.
        task: what it is trained for.
        word: the kind of data.
        attends: to what.
        about: what it is, in the words of its file.
        papers: where it comes from.
        options: each with its type, its default and its meaning.
    """

    name: str
    task: str
    word: str
    attends: str
    about: str
    papers: Sequence[str]
    options: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, name: str) -> SystemAbout:
        """Read from its configuration and its file.

        Raises:
            JumokError: no such system.
        """
        from jumok.systems import SYSTEMS, config_of, looks_at

        config, task = config_of(name), task_of_system(name)
        system = SYSTEMS[name]
        options = [
            {
                "option": key,
                "default": _write_default(config.model_fields[key], system.options.get(key)),
                "meaning": meaning,
            }
            for key, meaning in list_meanings(name).items()
        ]
        text = f"{_read_gate(system.options.get('gate'))}\n{sys.modules[config.__module__].__doc__}"
        about = describe_model(name)
        return cls(name, task.does, task.word, looks_at(name), about, find_papers(text), options)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "system": self.name,
            "data": self.word,
            "attends_to": self.attends,
            "model": self.about,
            "papers": list(self.papers),
            "options": list(self.options),
        }

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal."""
        from rich.table import Table
        from rich.text import Text

        about, task, attends = map(translate, (self.about, self.task, self.attends))
        yield f"{self.name}: {about}. Trained to {task}."
        if attends:
            yield f"attends to: {attends}"
        yield from (f"paper: {paper}" for paper in self.papers)
        table = Table(title="Options, given as --option key=value", title_justify="left")
        for number, heading in enumerate((translate("option"), translate("default"), translate("meaning"))):
            table.add_column(heading, no_wrap=number == 0)
        for row in self.options:
            default = row["default"]  # a value is given as it is: --option stem=patches
            shown = translate(default) if default == CHOSEN_BY_SIZE else default
            table.add_row(row["option"], Text(shown), Text(translate(row["meaning"])))
        yield table
        yield f"train it: jumok train {self.word.upper()} --system {self.name}"


def find_papers(text: str) -> list[str]:
    """The papers that a docstring names, each once.

    >>> find_papers("Source: Vaswani et al. 2017, arXiv 1706.03762, 3. Differs: norms (Xiong 2020, arXiv 2002.04745).")
    ['Vaswani et al. 2017, arXiv 1706.03762', 'Xiong 2020, arXiv 2002.04745']
    """
    return list(dict.fromkeys(PAPER.findall(" ".join(text.split()))))


def _read_gate(gate: str | None) -> str:
    """What is said of the gate that a residual network is named for."""
    if gate not in GATES:
        return ""
    file, name = GATES[gate]
    return inspect.getdoc(getattr(import_module(f"jumok.mechanisms.{file}"), name)) or ""


def list_meanings(name: str) -> dict[str, str]:
    """What each option of a system means that can be given."""
    from jumok.systems import config_of

    config = config_of(name)
    meanings = _read_meanings(config)
    return {key: meanings.get(key, "") for key in config.model_fields if key not in FOUND_IN_DATA}


def _read_meanings(config: type) -> dict[str, str]:
    """What each option means, from the docstrings of a configuration and of those that it extends."""
    meanings: dict[str, str] = {}
    for kind in reversed(config.__mro__):
        doc = inspect.cleandoc(vars(kind).get("__doc__") or "")
        names: list[str] = []
        for line in doc.partition("Args:\n")[2].splitlines():
            begun = ARGUMENT.match(line)
            if begun:
                names = begun[1].split(", ")
                meanings |= dict.fromkeys(names, line[begun.end() :].strip())
            elif line.startswith(" " * 8):
                meanings |= {name: f"{meanings[name]} {line.strip()}" for name in names}
    return meanings


def _write_default(field: FieldInfo, named: Any) -> str:
    """What an option is if it is not given."""
    value = field.default if named is None else named
    return CHOSEN_BY_SIZE if value is None else str(value)


def describe_model(name: str) -> str:
    """What a system is, in the first line of its model's docstring."""
    from jumok.systems import SYSTEMS

    return (inspect.getdoc(SYSTEMS[name].model) or "").partition("\n")[0].rstrip(".")
