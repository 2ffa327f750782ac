"""A whole task in one file: to foretell a number from the others in its row, in files that end in .numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from jumok.app.session import Session, write_report
from jumok.data.images.batches import Batches
from jumok.errors import JumokError
from jumok.systems import System
from jumok.tasks import Task
from jumok.tasks.running.config import Recorded, Strict, Training
from jumok.tasks.running.config import Settings as AnySettings
from jumok.tasks.running.prepared import Prepared
from jumok.tasks.running.run import CONFIG, Run, configure_system, read_model
from jumok.tasks.running.training_module import TrainingModule, seed_everything
from jumok.version import __version__

HERE = "fourth_task"
TASK = Task(
    name="foretell",
    title="Numbers",
    does="foretell numbers",
    word="numbers",
    example="a file that ends in .numbers",
    systems=("line",),
    recognises=lambda paths: any(path.suffix == ".numbers" for path in paths),
    modules=dict.fromkeys(("settings", "prepare", "run", "evaluate"), HERE),
)

# -- the system --------------------------------------------------------------------------------


class LineConfig(BaseModel):
    """Everything needed to build a `Line`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    columns: int = Field(default=2, ge=1)


class Line(nn.Module):
    """A weighted sum."""

    def __init__(self, config: LineConfig) -> None:
        super().__init__()
        self.sum = nn.Linear(config.columns, 1)

    def forward(self, rows: Tensor) -> Tensor:
        return self.sum(rows)[:, 0]


SYSTEM = System(LineConfig, Line)

# -- settings ----------------------------------------------------------------------------------


class NumberData(Strict):
    """Where the numbers are."""

    numbers: str | None = Field(default=None, description="A file of numbers, the last column to be foretold.")
    skip: int = Field(default=0, ge=0, description="Lines to skip at the beginning.")


class NumberTraining(Training):
    """How it is trained."""

    batch_size: int = Field(default=8, ge=1, description="Rows per step.")


class Found(Strict):
    """What the data said."""

    rows: int


class Settings(AnySettings):
    """What a person may choose."""

    system: str = "line"
    data: NumberData = NumberData()
    training: NumberTraining = NumberTraining()
    from_data: ClassVar[tuple[str, ...]] = ("columns",)


class RunConfig(Settings, Recorded):
    """Everything needed to build it again."""

    task: Literal["foretell"] = "foretell"
    found: Found


# -- preparation and training ------------------------------------------------------------------


def read_rows(path: Path, skip: int) -> tuple[Tensor, Tensor]:
    """What is known of each row, and what is to be foretold."""
    if not path.is_file():
        raise JumokError(f"no file of numbers at {path}")
    lines = path.read_text("utf-8").splitlines()[skip:]
    table = torch.tensor([[float(word) for word in line.split()] for line in lines])
    return table[:, :-1], table[:, -1]


class Rows:
    """Rows as batches draw them."""

    def __init__(self, rows: Tensor) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, indices: Tensor) -> Tensor:
        return self._rows[indices]


class Foretelling(TrainingModule):
    """A line in training; targets are whole numbers here, as labels are."""

    figure_names = ("val_loss",)

    def goodness(self, figures: dict[str, float]) -> tuple[float, ...]:
        return (-figures["val_loss"],)

    def count(self, batch: Any) -> int:
        return len(batch.labels)

    def loss(self, batch: Any) -> Tensor:
        return F.mse_loss(self.model(batch.images), batch.labels.float())

    def validation_step(self, batch: Any, _: int) -> None:
        self.note("val_loss", (self.model(batch.images) - batch.labels) ** 2)


@dataclass(frozen=True)
class PreparedNumbers(Prepared):
    """Everything that training needs."""

    config: RunConfig
    unit = "rows"

    def module(self) -> Foretelling:
        seed_everything(self.config.training.seed)
        training = self.config.training
        return Foretelling(build(self.config), training=training, steps=training.epochs * len(self.train))

    def about(self, parameters: int) -> str:
        return f"{self.config.found.rows} rows; {parameters} weights"

    def reached(self, best: Any) -> str:
        return f"squared error {best['val_loss']:.4f}"

    def purpose(self, parameters: int) -> str:
        return f"A line of {parameters} weights."

    def facts(self, best: Any) -> dict[str, str]:
        return {"rows": str(self.config.found.rows)}

    def evaluate_with(self, folder: Path) -> str:
        return f"jumok eval {folder}"


def prepare(settings: Settings, progress: Any = None) -> PreparedNumbers:
    if settings.data.numbers is None:
        raise JumokError("no numbers: give a file")
    rows, _ = read_rows(Path(settings.data.numbers), settings.data.skip)
    options = configure_system(settings.system, {"columns": rows.shape[1]}).model_dump()
    config = RunConfig(
        jumok=__version__,
        system=settings.system,
        options=options,
        data=settings.data,
        training=settings.training,
        found=Found(rows=len(rows)),
    )
    return _batched(config)


def resume(config: RunConfig, folder: Path, progress: Any = None) -> PreparedNumbers:
    return _batched(config)


def _batched(config: RunConfig) -> PreparedNumbers:
    rows, wanted = read_rows(Path(str(config.data.numbers)), config.data.skip)
    share = {"batch_size": config.training.batch_size, "seed": config.training.seed}
    train = Batches(Rows(rows), wanted, shuffle=True, drop_last=True, **share)
    val = Batches(Rows(rows), wanted, shuffle=False, drop_last=False, **share)
    return PreparedNumbers(train, val, (), config)


# -- the run, and how good it is ---------------------------------------------------------------


def build(config: RunConfig) -> nn.Module:
    return Line(LineConfig(**config.options))


@dataclass(frozen=True)
class NumberRun(Run):
    """A trained line."""

    config: RunConfig

    @classmethod
    def read(cls, folder: Path) -> NumberRun:
        config = RunConfig.load(folder / CONFIG)
        return cls(config, read_model(lambda: build(config), folder), folder)


RUN = NumberRun


class Options(Strict):
    """Options of `jumok eval` for numbers."""

    digits: int = Field(default=3, ge=0, description="Digits of the error.")


@dataclass(frozen=True)
class EvaluatedNumbers:
    """How far off it is."""

    run: str
    error: float
    digits: int

    def to_dict(self) -> dict[str, Any]:
        return {"run": self.run, "error": self.error}

    def lines(self) -> Iterator[str]:
        yield f"squared error {self.error:.{self.digits}f}"


def evaluate(
    run: Path, data: Sequence[Path], options: Options, *, split: str, out: Path, session: Session
) -> EvaluatedNumbers:
    trained = NumberRun.load(run, session.device)
    own = trained.config.data
    rows, wanted = read_rows(data[0] if data else Path(str(own.numbers)), own.skip)
    with torch.no_grad():
        report = EvaluatedNumbers(str(run), float(F.mse_loss(trained.model(rows), wanted)), options.digits)
    write_report(out / "eval.json", report)
    return report
