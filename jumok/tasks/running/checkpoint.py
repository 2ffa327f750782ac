"""Training state as one safetensors file: tensors as they are, everything else as JSON in its header. No pickle."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from jumok.errors import JumokError
from jumok.files import LEFTOVER, order_header, regular_file, replacing
from jumok.wording import typed

FORMAT = "jumok-checkpoint/1"
SIZE_LIMIT = 64 << 30
"""Bytes that a checkpoint may have; a larger file is refused before it is read."""
CHECKPOINTS, LAST, EARLIER = "checkpoints", "last.safetensors", "earlier.safetensors"
CHECKSUM = "sha256"
"""Where a file's metadata has the checksum of all else that it holds."""
RESTORE = "put a copy of it back, or train anew"
DEPTH_LIMIT = 32
"""How deep a state may nest."""
SPOILT = (
    SafetensorError,
    OSError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
)
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
    if metadata.get("format") == FORMAT and CHECKSUM not in metadata:
        raise JumokError(f"{path} is damaged or something else (it has no checksum)")
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

    The same tensors and metadata make the same file, byte for byte. A checksum of both is part of the metadata.

    Raises:
        JumokError: a disk that is full or not writable; the old file is then untouched.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = {**metadata, CHECKSUM: compute_checksum(metadata, plain)}
    with replacing(path) as fresh:
        fresh.touch()
        mode = fresh.stat().st_mode  # as other files get it; the library's own are closed to everyone else
        try:
            save_file(_unshare(plain), fresh, about)
        except SafetensorError as error:  # how the library reports a full disk
            raise OSError(None, " ".join(str(error).split())) from error
        fresh.chmod(mode)
        with fresh.open("r+b") as file:
            length = int.from_bytes(file.read(8), "little")
            header = file.read(length)
            file.seek(8)
            file.write(order_header(header))


def compute_checksum(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all that a file holds: names, types, shapes and values, and the metadata beside."""
    found = hashlib.sha256()
    about = sorted((name, text) for name, text in metadata.items() if name != CHECKSUM)
    shapes = [(name, str(tensor.dtype), list(tensor.shape)) for name, tensor in sorted(tensors.items())]
    found.update(json.dumps([about, shapes]).encode())
    for _, tensor in sorted(tensors.items()):
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def keep_earlier(last: Path) -> None:
    """Let the checkpoint that is about to be replaced stay as the one before it.

    Raises:
        JumokError: the folder cannot be written.
    """
    earlier = last.with_name(EARLIER)
    if not last.exists() or (earlier.exists() and earlier.samefile(last)):
        return  # a process that died here has kept it: to rename one of a file's names to another does nothing
    with replacing(earlier) as fresh:
        try:
            os.link(last, fresh)
        except OSError:  # a file system without links
            shutil.copyfile(last, fresh)


def go_back(last: Path) -> int:
    """Put the checkpoint before the last one in its place.

    Args:
        last: the last one, damaged or not.
    Returns:
        the step that it was taken at.
    Raises:
        JumokError: there is none, or it is damaged too.
    """
    earlier = last.with_name(EARLIER)
    if not earlier.exists():
        raise JumokError(f"there is no earlier checkpoint in {last.parent}: {RESTORE}")
    step = int(load_state(earlier)["global_step"])
    earlier.replace(last)
    return step


def find_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint of a run, which can be read; None: it has none yet.

    Raises:
        JumokError: it is damaged, or lost: the one before it is kept only once there is another.
    """
    last = folder / CHECKPOINTS / LAST
    lost = not last.exists()
    if lost and not last.is_symlink() and not last.with_name(EARLIER).exists():
        return None
    try:
        if lost:
            raise JumokError(f"{last} is not there any more: {RESTORE}")
        load_state(last)
    except JumokError as error:
        if not last.with_name(EARLIER).exists():
            raise
        raise JumokError(
            f"{error}; or go on from the checkpoint before it: jumok train --resume {typed(folder)} --earlier"
        ) from error
    return last


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process had begun to write in a folder, its own files and the library's."""
    for path in folder.glob(".*"):
        if LEFTOVER.fullmatch(path.name) and path.is_file():
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
    while True:
        before = _identify(path)
        try:
            found = _read_once(path, wanted)
        except JumokError:
            if _identify(path) == before:
                raise
        else:
            if _identify(path) == before:
                return found


def _identify(path: Path) -> tuple[int, ...]:
    """What is another of a file that was put in this one's place, as a training does with its checkpoints.

    The library opens a file twice by its name, once for the header and once for the values.
    """
    try:
        about = path.stat()
    except (OSError, ValueError):
        return ()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def _read_once(path: Path, wanted: Mapping[str, torch.Size] | None) -> tuple[dict[str, str], Tensors]:
    """As `read_tensors`, of a file that is not replaced meanwhile."""
    try:
        size = regular_file(path).stat().st_size
        if size > SIZE_LIMIT:
            raise JumokError(f"{path} has {size >> 30} GiB, more than the {SIZE_LIMIT >> 30} GiB allowed")
        with safe_open(os.fspath(path), framework="pt") as file:
            names = list(file.keys())
            if wanted is not None:
                _check_fit(path, {name: torch.Size(file.get_slice(name).get_shape()) for name in names}, wanted)
            metadata, tensors = dict(file.metadata() or {}), {name: file.get_tensor(name) for name in names}
        if metadata.get(CHECKSUM, "") not in ("", compute_checksum(metadata, tensors)):
            raise JumokError(f"{path} is damaged: its checksum is of other values; {RESTORE}")
        return metadata, tensors
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
