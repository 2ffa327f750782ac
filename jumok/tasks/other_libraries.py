"""Which library a folder is of that `transformers` does not open, told by the names of its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

__all__ = ["describe_other"]

WATCHED = "open it in Python by its own library and use jumok.watch around it"
CONVERTED = "convert it to a folder of transformers with model.safetensors"


def describe_other(folder: Path) -> str:
    """What a folder is that holds no model of `transformers`, and what to do with it; empty where that is not known.

    Args:
        folder: with the files.
    """
    names = sorted(path.name for path in folder.iterdir())
    for pattern, describe in MARKS.items():
        if found := [name for name in names if fnmatchcase(name, pattern)]:
            return describe(folder / found[0])
    return ""


def _say(what: str, advice: str) -> Callable[[Path], str]:
    return lambda path: f"{path.name} is {what}: {advice}"


def _describe_adapter(path: Path) -> str:
    settings = _read(path)
    base = settings.get("base_model_name_or_path") if isinstance(settings, dict) else None
    whose = f" of {base}" if isinstance(base, str) and base else ""
    return (
        f"{path.name} is of an adapter of peft, a part{whose} only: put it on its base model, merge it by "
        "merge_and_unload and save the whole by save_pretrained"
    )


def _describe_sentences(path: Path) -> str:
    parts = _read(path)
    inner = [part.get("path") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    first = next(
        (name for name in inner if isinstance(name, str) and (path.parent / name / "config.json").is_file()), ""
    )
    advice = f"give hf:{path.parent / first}" if first else "its transformer is not in it; save it anew"
    return f"{path.name} is of sentence-transformers: {advice}"


def _read(path: Path) -> dict[str, object] | list[object]:
    """What a small file of settings holds; nothing where it cannot be read."""
    try:
        found = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict | list) else {}


MARKS: dict[str, Callable[[Path], str]] = {
    "adapter_config.json": _describe_adapter,
    "modules.json": _describe_sentences,
    "model_index.json": _say("of a pipeline of diffusers, which makes images", WATCHED),
    "open_clip_config.json": _say("of a model of OpenCLIP", WATCHED),
    "*.gguf": _say("a model of llama.cpp", "give the folder of transformers that it was made from"),
    "params.json": _say("of weights as their authors published them", CONVERTED),
    "*.onnx": _say("a graph of ONNX, in which nothing can be watched", "give the model that it was exported from"),
    "*.tflite": _say("a graph of TensorFlow Lite, in which nothing can be watched", "give a model of PyTorch"),
    "*.msgpack": _say("a file of weights of Flax", CONVERTED),
    "*.h5": _say("a file of weights of TensorFlow or Keras", CONVERTED),
    "*.keras": _say("a model of Keras", CONVERTED),
    "saved_model.pb": _say("a model of TensorFlow", CONVERTED),
    "*.mlmodel": _say("a model of Core ML, in which nothing can be watched", "give the model that it was made from"),
    "*.pt": _say("a pickle of PyTorch, which can run code when it is opened", WATCHED),
    "*.pth": _say("a pickle of PyTorch, which can run code when it is opened", WATCHED),
    "*.ckpt": _say("a pickle of PyTorch, which can run code when it is opened", WATCHED),
}
"""What a file says of the folder it lies in, by a pattern of its name; the first that is there counts."""
