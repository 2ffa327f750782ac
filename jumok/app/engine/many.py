"""`jumok look --engine`: the looks of any number of inputs as a Parquet data set, by several processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from jumok.app.engine.addresses import restore_address
from jumok.app.engine.engines import ENGINES, Engine
from jumok.app.engine.out_folder import OutFolder
from jumok.app.engine.settings import EngineSettings
from jumok.app.engine.shards import Source
from jumok.app.options import options_of
from jumok.app.progress import show_progress
from jumok.app.session import Session
from jumok.data.arrow import import_parquet
from jumok.errors import JumokError, Stopped, suggest
from jumok.machine import World
from jumok.wording import readable, write_count

if TYPE_CHECKING:
    from jumok.app.engine.verb import About, Verb
    from jumok.app.engine.worker import Ready

__all__ = ["DataSet", "check_images", "make_data_set", "make_predictions"]

MOST_NAMED_ERRORS = 5
Check: TypeAlias = "Callable[[set[str], Any], None]"
Finding: TypeAlias = "Callable[[str, int, str | None, Callable[[str], None]], Source]"
"""As `jumok.app.engine.sources.open_source`."""


@dataclass(frozen=True)
class DataSet:
    """What was written.

    Args:
        folder: that it lies in.
        about: what its rows have in common.
        inputs: in all, and those of them whose rows have an error.
        failed: rows with an error.
        before: inputs that an earlier command had looked at.
        left: inputs that other processes of the same world have not looked at yet.
        errors: some, by the names of their inputs.
        seconds: that this command looked.
    """

    folder: Path
    about: About
    inputs: int
    failed: int
    before: int
    left: int
    errors: Sequence[str] = ()
    seconds: float = 0.0

    @property
    def looked(self) -> int:
        """Inputs that this command, or another of its world meanwhile, has looked at."""
        return self.inputs - self.before - self.left

    @property
    def status(self) -> int:
        """The exit status: 1 if an input could not be used."""
        return 1 if self.failed else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "folder": self.folder,
            "model": self.about.model,
            "method": self.about.method or None,
            "inputs": self.inputs,
            "failed": self.failed,
            "done_before": self.before,
            "left_to_others": self.left,
            "complete": not self.left,
            "seconds": self.seconds,
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        yield from (f"not looked at: {error}" for error in self.errors)
        if self.failed:
            yield f"rows with an error: {self.failed:,} of {self.inputs:,}, see the column error"
        if self.before:
            yield f"{write_count(self.before, 'input was', 'inputs were')} done before"
        if self.left:
            yield f"{write_count(self.left, 'input is', 'inputs are')} left to the other processes"
        rate = f" ({self.looked / self.seconds:,.1f} inputs per second)" if self.looked and self.seconds else ""
        yield f"data set of {write_count(self.inputs, 'row')}: {self.folder}{rate}"


def make_data_set(
    name: Path,
    verb: Verb,
    out: Path,
    options: EngineSettings,
    session: Session,
    check: Check | None = None,
    find: Finding | None = None,
) -> DataSet:
    """Ask something of all inputs of a source, and write a row for each.

    A command that was stopped, however it was, goes on where it was.

    Args:
        name: of the source.
        verb: what is asked.
        out: the folder of the data set.
        options: how.
        session: of the command.
        check: is given the labels of the source and what rows have in common, and refuses what will not do.
        find: finds the inputs that the source stands for; None: images.
    Raises:
        JumokError: a source, model or folder that will not do; the message tells why.
    """
    from jumok.app.engine.sources import open_source

    engine = str(options.engine)
    if engine not in ENGINES:
        raise JumokError(f"no engine {engine!r}: {suggest(engine, ENGINES)}")
    import_parquet()
    given = restore_address(name)
    source = (find or open_source)(given, options.shard_size, options.column, session.remark)
    world = World.found()
    folder = OutFolder(out, world.rank)
    key = _describe_command(given, source, verb, options, session)
    folder.check(key)
    with ENGINES[engine](verb, options, session) as crew:
        ready = crew.wait_until_open()
        key |= _describe_model(ready)
        folder.check(key)
        if check is not None:
            check(source.labels, ready.about)
        with folder.claimed(), _telling_how_to_go_on(session):
            folder.begin(key)
            return _Job(source, folder, world, key, ready.about).run(crew, session)


def make_predictions(
    name: Path,
    model: str,
    out: Path,
    engine: EngineSettings,
    given: Mapping[str, Any],
    session: Session,
    check: Check | None = None,
) -> DataSet:
    """Write what a classifier of images predicts for each input of a source.

    Args:
        name: of the source.
        model: a run, or hf: or timm: with a name.
        out: the folder of the data set.
        engine: how it is made.
        given: further flags, of which --batch-size alone has a use.
        session: of the command.
        check: as for `make_data_set`.
    Raises:
        JumokError: as `make_data_set`, a model of other inputs, or a flag that has no use.
    """
    from jumok.app.classify.predict import Options
    from jumok.app.engine.looker import Looker

    check_images(model)
    options = options_of(Options, given, "--engine writes predictions of all images")
    looker = Looker(model, maps=False, batch_size=options.batch_size)
    return make_data_set(name, looker, out, engine, session, check)


def check_images(model: str) -> None:
    """Refuse a model of other inputs than images.

    Raises:
        JumokError: it is one.
    """
    from jumok.tasks.classify.task import CLASSIFY
    from jumok.tasks.running.run import task_of_model

    task = task_of_model(model)
    if task is not CLASSIFY:
        raise JumokError(f"--engine asks classifiers of images here, and {model} is trained to {task.does}")


@contextmanager
def _telling_how_to_go_on(session: Session) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        session.say("stopped: what was looked at is kept, and the same command goes on from there")
        raise


def _describe_command(
    name: str, source: Source, verb: Verb, options: EngineSettings, session: Session
) -> dict[str, Any]:
    """What a data set depends on and the command says, by what people call it."""
    return {
        "command": session.command,
        "source": readable(name),
        "column": options.column,
        "inputs": source.total,
        "names of the inputs": source.digest,
        **verb.settings(),
        "--shard-size": options.shard_size,
    }


def _describe_model(ready: Ready) -> dict[str, Any]:
    """What a data set depends on and the model tells."""
    return {"method": ready.about.method, "the model's weights": ready.fingerprint}


@dataclass
class _Job:
    """A source on its way to a data set."""

    source: Source
    folder: OutFolder
    world: World
    key: Mapping[str, Any]
    about: About

    def run(self, crew: Engine, session: Session) -> DataSet:
        """Have what is missing done."""
        from jumok.app.engine.jobs import Job
        from jumok.app.engine.worker import Order

        counts = [self.source.shard(number).count for number in range(len(self.source))]
        done = self.folder.find_done(counts)
        before = sum(counts[number] for number in done)
        missing = [number for number in range(len(counts)) if number not in done]
        own = missing[self.world.rank :: self.world.size]
        jobs = (
            Job(number, Order(self.source.shard(number), self.folder.part(number), self.folder.workshop))
            for number in own
        )
        errors: list[str] = []
        if before:
            session.say(f"going on after {write_count(before, 'input')} looked at before")
        began = time.monotonic()
        with show_progress(session.console, "looking") as progress:
            seen = before
            for job, result in crew.work(jobs):
                seen += counts[job.number]
                errors += [result.first] if result.first and len(errors) < MOST_NAMED_ERRORS else []
                progress(seen, self.source.total)
        return replace(self._finish(counts, before, errors), seconds=time.monotonic() - began)

    def _finish(self, counts: Sequence[int], before: int, errors: Sequence[str]) -> DataSet:
        """Note that the data set is whole, if it is."""
        done = self.folder.find_done(counts)
        left = sum(count for number, count in enumerate(counts) if number not in done)
        if not left:
            self.folder.finish(self.key, counts, done)
        elif self.world.size == 1:
            raise JumokError(f"{self.folder.folder} was changed meanwhile: run the command again")
        return DataSet(
            self.folder.folder, self.about, self.source.total, sum(done.values()), before, left, tuple(errors)
        )
