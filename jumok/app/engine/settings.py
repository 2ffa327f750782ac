"""Options of every command that can write a data set."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from pydantic import Field

from jumok.app.options import refuse, split_off, to_flag
from jumok.tasks.running.config import Strict

__all__ = ["OF_MANY", "OF_MANY_TEXTS", "EngineSettings", "PageSettings", "TextEngineSettings", "split_off_engine"]


class EngineSettings(Strict):
    """How a data set is made.

    Args:
        engine: its name; None: no data set is wanted.
        processes: that work at it, each with a model of its own.
        shard_size: inputs of a file of the data set, which is what a process does at a time.
        column: of Parquet files, that holds the inputs.
    """

    engine: str | None = Field(
        default=None,
        description="local or ray: write a Parquet data set to --out, a row per input, and no other file; "
        "PATH may also be a pattern, a .txt file of paths, .parquet or .tar files. The same command goes on where it "
        "was stopped.",
    )
    processes: int = Field(default=1, ge=1, description="With --engine: processes, each with a model.")
    shard_size: int = Field(default=1024, ge=1, description="With --engine: rows of a file of the data set.")
    column: str | None = Field(
        default=None,
        description="With --engine: column of Parquet files with bytes or paths of images (default: the first of "
        "image, bytes and path).",
    )


class TextEngineSettings(EngineSettings):
    """As `EngineSettings`, where the inputs are sentences."""

    engine: str | None = Field(
        default=None,
        description="local or ray: write a Parquet data set to --out, a row per sentence; TEXT is then a file with a "
        "sentence per line, a folder of such .txt files, a pattern, or .parquet files. The same command goes on where "
        "it was stopped. ctranslate2 or ctranslate2-int8: no data set, but a faster search (Transformers only).",
    )
    processes: int = Field(default=1, ge=1, description="With --engine: processes, each with a model.")
    column: str | None = Field(
        default=None,
        description="With --engine: column of Parquet files with sentences (default: the first of text, source and "
        "sentence).",
    )


class PageSettings(Strict):
    """Which rows of a data set are shown on a page.

    Args:
        where: what is true of them.
        pages: how many at most, drawn by chance from these.
    """

    where: str | None = Field(
        default=None,
        description="Of a data set: show rows for which this holds, such as 'prediction != label and probability > "
        "0.9'.",
    )
    pages: int | None = Field(
        default=None,
        ge=1,
        le=5000,
        description="Of a data set: show as many rows at most, drawn by chance; default: 200.",
    )


OF_MANY = {"Many inputs": (EngineSettings,)}
"""The heading under which these options stand in the help of every command."""
OF_MANY_TEXTS = {"Many inputs": (TextEngineSettings,)}
"""As `OF_MANY`, of commands that read sentences."""


Chosen = TypeVar("Chosen", bound=EngineSettings)


def split_off_engine(
    model: type[Chosen], given: Mapping[str, Any], searches: Collection[str] = ()
) -> tuple[Chosen, dict[str, Any]]:
    """The options of a data set, and the others.

    Args:
        model: of the options.
        given: all options, by name.
        searches: engines that write no data set.
    Raises:
        JumokError: a value out of range, or one that only a data set has a use for, and none is written.
    """
    found, rest = split_off(model, given)
    if found.engine is None or found.engine in searches:
        others = {to_flag(name): given[name] for name in sorted(found.model_fields_set - {"engine"})}
        refuse(others, "they say how a data set is written, as --engine local or ray does")
    return found, rest
