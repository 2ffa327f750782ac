"""Training state as one safetensors file: tensors as they are, everything else as JSON in its header. No pickle."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from jumok.errors import JumokError
from jumok.files import replacing

FORMAT = "jumok-checkpoint/1"
SIZE_LIMIT = 64 << 30
"""Bytes that a checkpoint may have; a larger file is refused before it is read."""
DEPTH_LIMIT = 32
"""How deep a state may nest."""
SPOILT = (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError, RuntimeError)
"""What reading a damaged or foreign file may raise."""

Tensors = dict[str, Tensor]


def save_state(state: Mapping[str, Any], path: Path) -> None:
    """Write a nested state of tensors and plain values, whole or not at all.

    Args:
        state: dicts (keys str or int), lists, tuples, tensors, str, int, float, bool and None, nested at will.
        path: the file; its folder is made where it is missing.
    Raises:
        JumokError: a value that cannot be stored, or a disk that is full or not writable (the old file stays).
    """
    tensors: Tensors = {}
    structure = _pack(state, "", tensors, {})
    write_tensors(tensors, path, {"format": FORMAT, "state": json.dumps(structure, ensure_ascii=False)})


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote; every value, type and tensor is as it was, on the CPU.

    Raises:
        JumokError: no such file, one that is damaged, cut short, too large, or not such a state.
    """
    metadata, tensors = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise JumokError(
            f"{path} is of format {metadata.get('format')!r}, wanted {FORMAT!r}: it is not a checkpoint of this version"
        )
    try:
        state = _unpack(json.loads(metadata["state"]), tensors, 0)
    except SPOILT as error:
        raise _explain_damage(path, error) from error
    if not isinstance(state, dict):
        raise JumokError(f"{path} holds a {type(state).__name__}, wanted a state of named parts")
    return state


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write named tensors, whole or not at all; tensors that share memory are written each for itself.

    Raises:
        JumokError: a disk that is full or not writable; the old file is then untouched.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as fresh:
        fresh.touch()
        mode = fresh.stat().st_mode  # as other files get it; the library's own are closed to everyone else
        try:
            save_file(_unshare(plain), fresh, dict(metadata))
        except SafetensorError as error:  # how the library reports a full disk
            raise OSError(None, " ".join(str(error).split())) from error
        fresh.chmod(mode)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process had begun to write in a folder, its own files and the library's."""
    for pattern in (".*.safetensors", ".tmp??????"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def read_tensors(path: Path, wanted: Mapping[str, torch.Size] | None = None) -> tuple[dict[str, str], Tensors]:
    """Read a safetensors file.

    Args:
        path: the file.
        wanted: names and shapes that the file must hold, no more and no less, checked before any values are read.
    Returns:
        its metadata, and its tensors by name.
    Raises:
        JumokError: no such file, one that is damaged, cut short or too large, or tensors other than wanted.
    """
    try:
        size = path.stat().st_size
        if size > SIZE_LIMIT:
            raise JumokError(f"{path} has {size >> 30} GiB, more than the {SIZE_LIMIT >> 30} GiB allowed")
        with safe_open(os.fspath(path), framework="pt") as file:
            names = list(file.keys())
            if wanted is not None:
                _check_fit(path, {name: torch.Size(file.get_slice(name).get_shape()) for name in names}, wanted)
            return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in names}
    except FileNotFoundError as error:
        raise JumokError(f"no such file: {path}") from error
    except JumokError:
        raise
    except SPOILT as error:
        raise _explain_damage(path, error) from error


def _check_fit(path: Path, got: Mapping[str, torch.Size], wanted: Mapping[str, torch.Size]) -> None:
    for name in wanted:
        if name not in got:
            raise JumokError(f"{path} lacks {name!r}: these weights do not fit the model that config.yaml describes")
        if got[name] != wanted[name]:
            raise JumokError(
                f"{path} has {name!r} as {tuple(got[name])}, wanted {tuple(wanted[name])}: "
                "these weights do not fit the model that config.yaml describes"
            )
    extra = [name for name in got if name not in wanted]
    if extra:
        raise JumokError(
            f"{path} also holds {extra[0]!r}: these weights do not fit the model that config.yaml describes"
        )


def _explain_damage(path: Path, error: Exception) -> JumokError:
    return JumokError(f"{path} is damaged or something else ({' '.join(str(error).split()) or type(error).__name__})")


def _unshare(tensors: Tensors) -> Tensors:
    """Give every tensor memory of its own, as the format wants it."""
    seen: set[int] = set()
    own: Tensors = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        own[name] = tensor.clone() if place in seen or tensor.untyped_storage().nbytes() != tensor.nbytes else tensor
        seen.add(place)
    return own


# -- nested values to and from JSON --------------------------------------------------------------
# A tensor becomes {"tensor": name}, a tuple {"tuple": [...]}, a dict {"dict": [[key, value], ...]} (so that keys
# keep their type and none can be mistaken for a mark), infinity and NaN {"float": text}.


def _pack(value: Any, name: str, tensors: Tensors, seen: dict[int, str]) -> Any:
    """The JSON form of a value; its tensors go to `tensors`, each once, under names that say where they are."""
    if isinstance(value, Tensor):
        key = seen.setdefault(id(value), name)
        tensors[key] = value
        return {"tensor": key}
    if isinstance(value, Mapping):
        return {"dict": [[_key(key), _pack(item, f"{name}/{key}", tensors, seen)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_pack(item, f"{name}/{index}", tensors, seen) for index, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise JumokError(f"a {type(value).__name__} at {name or 'the top'} cannot be stored in a checkpoint")


def _key(key: Any) -> str | int:
    if type(key) not in (str, int):
        raise JumokError(f"a checkpoint's keys are str or int, got {key!r}")
    return key  # type: ignore[no-any-return]


def _unpack(value: Any, tensors: Tensors, depth: int) -> Any:
    if depth > DEPTH_LIMIT:
        raise ValueError(f"nested deeper than {DEPTH_LIMIT}")
    if isinstance(value, list):
        return [_unpack(item, tensors, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    ((mark, content),) = value.items()
    if mark == "dict":
        return {_key(key): _unpack(item, tensors, depth + 1) for key, item in content}
    if mark == "tuple":
        return tuple(_unpack(item, tensors, depth + 1) for item in content)
    return tensors[content] if mark == "tensor" else {"float": float}[mark](content)
