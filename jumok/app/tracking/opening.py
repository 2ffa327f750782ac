"""How an experiment tracker is opened."""

from __future__ import annotations

import os
from importlib import import_module

from jumok.app.tracking.tracker import Tracker
from jumok.errors import JumokError, foreign, suggest

__all__ = ["TRACKERS", "check_tracker", "open_tracker"]

MLFLOW, WANDB = "mlflow", "wandb"
TRACKERS = (MLFLOW, WANDB)
ADVICE = {
    MLFLOW: "set MLFLOW_TRACKING_URI to a server or a database that can be used, or leave out --log",
    WANDB: "log in with wandb login, set WANDB_MODE=offline, or leave out --log",
}


def check_tracker(name: str) -> None:
    """Make sure that a tracker is known and installed.

    Raises:
        JumokError: it is not known.
        ModuleNotFoundError: it is not installed.
    """
    if name not in TRACKERS:
        raise JumokError(f"--log {name}: {suggest(name, TRACKERS)}")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would tell MLflow's makers of each use
    import_module(name)


def open_tracker(name: str, title: str, known: str | None = None) -> Tracker:
    """Begin a run of a tracker, or go on with one.

    Args:
        name: of the tracker, see `TRACKERS`.
        title: of a new run.
        known: the id of the run to go on with; None: a new one.
    Raises:
        JumokError: the tracker is not known or cannot be reached.
        ModuleNotFoundError: it is not installed.
    """
    check_tracker(name)
    with foreign(f"--log {name}: no run can be begun", ADVICE[name]):
        tracker: Tracker = _class_of(name)(title, known)
    return tracker


def _class_of(name: str) -> type:
    if name == MLFLOW:
        from jumok.app.tracking.mlflow_tracker import MLflowTracker

        return MLflowTracker
    from jumok.app.tracking.wandb_tracker import WandbTracker

    return WandbTracker
