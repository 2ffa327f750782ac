"""What a run is made of: settings from a file and from flags, and what was found in the data. No torch here."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from jumok.errors import JumokError, suggest
from jumok.machine import DEVICES
from jumok.wanted_values import find_section, say_wanted, show_value

FORMAT: Literal[1] = 1
"""The form of a run folder; a run of a newer form is refused, not guessed at."""
CONFIG_LIMIT = 4 << 20
"""Bytes that a configuration file may have."""
SEAL = "# checksum of the lines above: "
"""How the last line of a run's configuration begins."""


Model = TypeVar("Model", bound=BaseModel)


def _check_distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"it should not have {twice!r} twice")
    return names


Names: TypeAlias = Annotated[tuple[str, ...], AfterValidator(_check_distinct)]
"""Of what a model tells apart: none twice."""


class Strict(BaseModel):
    """No unknown keys, no silent changes, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def to_yaml(self) -> str:
        """The text that these values can be read from again."""
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
        return text


EPOCHS = (
    "Epochs to train for; each ends with a validation. An epoch is one pass over the training data, or as many steps "
    "as --steps-per-epoch says."
)
"""What to say of the setting `epochs`, which tasks have with defaults of their own."""


class Training(Strict):
    """How a model is trained, whatever its task."""

    epochs: int = Field(
        default=100,
        ge=1,
        description=EPOCHS,
        json_schema_extra={"usual": "as many as fit into --time"},
    )
    time: str | None = Field(
        default=None,
        description="How long the whole command may take, such as 90s, 10m or 2h; sets the number and the length of "
        "epochs. Default: by the amount of data, 10m at most.",
    )
    steps_per_epoch: int | None = Field(
        default=None,
        ge=1,
        description="Steps of an epoch, which ends with a validation; default: one pass, or what fits into --time.",
    )
    init: str | None = Field(
        default=None,
        description="Folder of a run whose weights to begin with, on other data; other classes get a new head.",
    )
    lr: float = Field(
        default=1e-3,
        gt=0,
        le=10,
        description="Peak learning rate of AdamW.",
        json_schema_extra={"usual": "the best of several in a short trial"},
    )
    weight_decay: float = Field(default=0.05, ge=0, le=10, description="AdamW weight decay, on matrices only.")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="Share of the steps used for learning-rate warm-up.")
    label_smoothing: float = Field(
        default=0.1, ge=0, lt=1, description="Label smoothing: share of the target spread over all classes."
    )
    ema: float = Field(
        default=0.998,
        ge=0,
        lt=1,
        description="Decay of the exponential moving average of the weights; 0 = off.",
        json_schema_extra={"usual": "by the number of steps"},
    )
    clip: float = Field(default=1.0, ge=0, description="Gradient-norm limit; 0 = off.")
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Stop early after this many epochs without improvement; default: never.",
    )
    precision: Literal["32", "bf16", "16"] = Field(default="32", description="Numeric precision.")
    device: str = Field(default="auto", pattern=f"^({DEVICES})$", description="auto, cpu, cuda, cuda:N or mps.")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Random seed for weights, data order, noise and split.")
    threads: int | None = Field(default=None, ge=1, le=4096, description="CPU threads; default: all available.")
    strategy: Literal["ddp", "fsdp"] = Field(
        default="ddp",
        description="With several processes: ddp, each holds all weights, or fsdp, each holds a part of them.",
    )
    checkpoint_every: int | None = Field(
        default=None, ge=1, description="Steps between checkpoints; default: as often as costs under 1% of the time."
    )


class Settings(Strict):
    """What a person may choose, in a file or by flags. Each task has its own, with its data and its training."""

    system: str = Field(description="The model to train.")
    options: dict[str, Any] = Field(default={}, description="The system's own options.")
    data: Strict
    training: Training

    from_data: ClassVar[tuple[str, ...]] = ()
    """Options of a system that follow from the data."""
    from_run: ClassVar[frozenset[str]] = frozenset({"format", "jumok", "task", "found", "changes"})
    """What a run's configuration has beside the settings."""

    @classmethod
    def read(cls, path: Path | None, flags: Mapping[str, Any] | None = None) -> Self:
        """Read settings from a YAML file, such as an earlier run's config.yaml; flags win over it.

        Raises:
            JumokError: no such file, no YAML, an unknown key (the likely one is suggested) or a value out of range.
        """
        values = read_yaml(path) if path else {}
        own = {key: value for key, value in values.items() if key not in cls.from_run}
        if "found" in values and isinstance(own.get("options"), dict):  # what its data decided, other data may not
            own["options"] = {key: value for key, value in own["options"].items() if key not in cls.from_data}
        return parse(cls, _merge(own, flags or {}), str(path) if path else FLAGS)


FLAGS = "the flags"
"""Where settings of the command line alone are from; an error then names the flag."""


class Begun(Strict):
    """Which weights a run began with."""

    origin: str
    """The run or model that they are from."""
    taken: int
    """How many tensors."""
    new: tuple[str, ...]
    """Names of the others, which began by chance."""


class Change(Strict):
    """What a person changed in a run after it had begun.

    Args:
        step: after which it was changed.
        told: what changed, as a sentence for the card.
        schedule: whether the learning rate began its course anew there.
    """

    step: int = Field(ge=0)
    told: str
    schedule: bool = False


class Recorded(Strict):
    """What a run's configuration has beside the settings, whatever its task."""

    format: Literal[1] = FORMAT
    jumok: str
    changes: tuple[Change, ...] = ()
    """The oldest first."""

    def to_yaml(self) -> str:
        """The text that these values can be read from again, with a checksum as its last line."""
        values = super().to_yaml()
        return f"{values}{SEAL}{_hash(values)}\n"

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a run's config.yaml.

        Raises:
            JumokError: missing, damaged, or of another version's form.
        """
        return load_config(cls, path)


def load_config(kind: type[Model], path: Path) -> Model:
    """Read a run's config.yaml as this kind of configuration.

    Raises:
        JumokError: missing, damaged, or of another version's form.
    """
    found = parse(kind, read_run_config(path), str(path))
    _warn_of_changes(path)
    return found


def _warn_of_changes(path: Path) -> None:
    """Tell that a configuration is not as it was written: a change in a name or a number may well be read."""
    values, sealed, checksum = path.read_text(encoding="utf-8").rpartition(SEAL)
    if sealed and checksum.strip() != _hash(values):
        remark = (
            f"{path} was changed after it was written, so what this model says may not be what it learned: put a copy "
            "of it back, or remove its last line if the change is meant"
        )
        warnings.warn(remark, stacklevel=3)


def _hash(values: str) -> str:
    return hashlib.sha256(values.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_run_config(path: Path) -> dict[str, Any]:
    """The values of a run's config.yaml, of whatever task.

    Raises:
        JumokError: missing, damaged, or of another version's form.
    """
    values = read_yaml(path)
    form = values.get("format")
    if form is None or "task" not in values:
        lacking = "format" if form is None else "task"
        raise JumokError(f"{path} is damaged: it does not say {lacking!r}; put a copy of it back, or train anew")
    if form != FORMAT:
        made_by = f" (made by jumok {values['jumok']})" if "jumok" in values else ""
        raise JumokError(f"{path} is of run format {form!r}{made_by}, wanted {FORMAT}: use that version of jumok")
    return values


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, with which a short text can stand for an endless one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read here: write the value out")
        return super().compose_node(parent, index)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds keys and values.

    Raises:
        JumokError: no such file, too large, not YAML, or something else than keys and values.
    """
    try:
        if path.stat().st_size > CONFIG_LIMIT:
            raise JumokError(f"{path} is larger than {CONFIG_LIMIT >> 20} MiB: that is not a configuration")
        values = yaml.load(path.read_text(encoding="utf-8"), _PlainLoader)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError as error:
        raise JumokError(f"no configuration at {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise JumokError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, JumokError):
            raise
        raise JumokError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise JumokError(f"{path} should hold keys and values such as 'training: {{epochs: 40}}'")
    return values


def parse(model: type[Model], values: Mapping[str, Any], where: str) -> Model:
    """Check values against a model of settings.

    Raises:
        JumokError: the first thing wrong, in one line.
    """
    with plain_errors(model, where):
        return model.model_validate(values)
    raise AssertionError  # the block above returns or raises


@contextmanager
def plain_errors(model: type[BaseModel], where: str) -> Iterator[None]:
    """Turn what is wrong with the values of a model of settings into one line."""
    try:
        yield
    except ValidationError as error:
        told = _explain_error(model, error.errors(include_url=False)[0], flags=where == FLAGS)
        raise JumokError(told if where == FLAGS else f"{where}: {told}") from error


def _explain_error(model: type[BaseModel], error: ErrorDetails, *, flags: bool) -> str:
    """One line on one error: the key, or the flag, what was got, what is wanted."""
    *outer, name = _find_place(model, error) or ["value"]
    key = ".".join([*outer, name])
    path = "--" + name.replace("_", "-") if flags else key
    if error["type"] == "value_error":  # one of our own, that says it all
        why = str(error["ctx"]["error"])
        return f"{path} is {show_value(error['input'])}: {why}" if error["loc"] else why
    section = find_section(model, outer)
    if error["type"] == "extra_forbidden":
        home = next((part for part, keys in _list_sections(model).items() if name in keys and part not in outer), None)
        hint = f"it belongs under {home!r}" if home else suggest(name, section.model_fields if section else ())
        return f"unknown key {key!r}: {hint}"
    if error["type"] == "missing":
        return f"{path} is missing"
    wish = say_wanted(section.model_fields.get(name) if section else None, error)
    return f"{path} is {show_value(error['input'])}; wanted {wish}"


def _find_place(model: type[BaseModel], error: ErrorDetails) -> list[str]:
    """The keys that lead to the setting, without the parts of a value that it may be made of."""
    place = [str(part) for part in error["loc"]]
    depth = next((depth for depth in range(len(place)) if find_section(model, place[: depth + 1]) is None), len(place))
    return place[: depth + 1]


def _list_sections(model: type[BaseModel]) -> dict[str, set[str]]:
    """The keys of each part of a model of settings."""
    parts = {name: field.annotation for name, field in model.model_fields.items()}
    return {
        name: set(part.model_fields)
        for name, part in parts.items()
        if isinstance(part, type) and issubclass(part, BaseModel)
    }


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested keys of both; those of `over` win."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
