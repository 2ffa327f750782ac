"""A run in MLflow, wherever MLFLOW_TRACKING_URI says."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from jumok.app.tracking.tracker import DEFAULT_PROJECT, DONE, STOPPED, flatten

__all__ = ["MLflowTracker"]

STATES = {DONE: "FINISHED", STOPPED: "KILLED"}
MOST_PARAMS, MOST_METRICS, LONGEST_VALUE = 100, 1000, 500
"""What one call takes, and the longest value of a parameter that every version takes."""
UNFIT = re.compile(r"[^\w\-. /]")
"""Signs that no name may have."""

Item = TypeVar("Item")


class MLflowTracker:
    """One run; see `jumok.app.tracking.tracker.Tracker`.

    Args:
        title: of a new run.
        known: the id of the run to go on with; None: a new one.
    """

    def __init__(self, title: str, known: str | None) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient()
        if known is None:
            self.id: str = self._client.create_run(self._find_experiment(), run_name=title).info.run_id
        else:
            self.id = known
            self._client.update_run(known, status="RUNNING")

    def _find_experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", DEFAULT_PROJECT)
        found = self._client.get_experiment_by_name(name)
        return str(self._client.create_experiment(name) if found is None else found.experiment_id)

    def note(self, settings: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        every = [Param(_fit(name), str(value)[:LONGEST_VALUE]) for name, value in flatten(settings)]
        for some in _in_parts(every, MOST_PARAMS):
            self._client.log_batch(self.id, params=some)

    def log(self, figures: Mapping[str, float], step: int | None) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        every = [Metric(_fit(name), value, now, step or 0) for name, value in figures.items()]
        for some in _in_parts(every, MOST_METRICS):
            self._client.log_batch(self.id, metrics=some)

    def keep(self, path: Path) -> None:
        self._client.log_artifact(self.id, str(path))

    def end(self, state: str) -> None:
        self._client.set_terminated(self.id, STATES.get(state, "FAILED"))


def _fit(name: str) -> str:
    """A name as MLflow allows it.

    >>> _fit("faithfulness/methods/raw/srg, mean")
    'faithfulness/methods/raw/srg_ mean'
    """
    return UNFIT.sub("_", name)


def _in_parts(items: Sequence[Item], most: int) -> Iterator[list[Item]]:
    left = iter(items)
    while some := list(islice(left, most)):
        yield some
