"""Which library a folder is of that `transformers` does not open, told by the names of its files."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from jumok.language import later

__all__ = ["describe_other"]

ADAPTER = "adapter_config.json"
MODULES = "modules.json"
CONFIG = "config.json"
WATCHED = later("open it in Python by its own library and use jumok.watch around it")
CONVERTED = later("convert it to a folder of transformers with model.safetensors")
ORIGIN = later("give the model that it was made from")
PICKLE = later("a pickle of PyTorch, which can run code when it is opened")
MARKS = {
    "model_index.json": (later("of a pipeline of diffusers, which makes images"), WATCHED),
    "open_clip_config.json": (later("of a model of OpenCLIP"), WATCHED),
    "*.gguf": (later("a model of llama.cpp"), ORIGIN),
    "params.json": (later("of weights as their authors published them"), CONVERTED),
    "model.bin": (later("a model of CTranslate2, in which nothing can be watched"), ORIGIN),
    "openvino_model.xml": (later("a graph of OpenVINO, in which nothing can be watched"), ORIGIN),
    "*.onnx": (later("a graph of ONNX, in which nothing can be watched"), ORIGIN),
    "*.tflite": (later("a graph of TensorFlow Lite, in which nothing can be watched"), ORIGIN),
    "*.mlmodel": (later("a model of Core ML, in which nothing can be watched"), ORIGIN),
    "*.msgpack": (later("a file of weights of Flax"), CONVERTED),
    "*.h5": (later("a file of weights of TensorFlow or Keras"), CONVERTED),
    "*.keras": (later("a model of Keras"), CONVERTED),
    "saved_model.pb": (later("a model of TensorFlow"), CONVERTED),
    "*.pt": (PICKLE, WATCHED),
    "*.pth": (PICKLE, WATCHED),
    "*.ckpt": (PICKLE, WATCHED),
}
"""What a file says of its folder, and what to do, by a pattern of its name; the first that is there counts."""


def describe_other(folder: Path) -> str:
    """What a folder is that holds no model of `transformers`, and what to do with it; empty where that is not known.

    Args:
        folder: with the files.
    """
    names = sorted(path.name for path in folder.iterdir())
    if ADAPTER in names:
        return _describe_adapter(folder)
    if MODULES in names:
        return _describe_sentences(folder)
    for pattern, (what, advice) in MARKS.items():
        for name in names:
            if fnmatchcase(name, pattern):
                return f"{name} is {what}: {advice}"
    return ""


def _describe_adapter(folder: Path) -> str:
    settings = _read(folder / ADAPTER)
    base = settings.get("base_model_name_or_path") if isinstance(settings, dict) else None
    whole = f"base model ({base})" if isinstance(base, str) and base else "base model"
    return f"adapter_config.json is of an adapter of peft, a part only: put it on its {whole}, merge and save both"


def _describe_sentences(folder: Path) -> str:
    parts = _read(folder / MODULES)
    inner = [part.get("path") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    for name in inner:
        if isinstance(name, str) and (folder / name / CONFIG).is_file():
            return f"modules.json is of sentence-transformers, and its model lies further down: give hf:{folder / name}"
    return "modules.json is of sentence-transformers, and its model is not there: save it anew"


def _read(path: Path) -> Any:
    """What a small file of settings holds; nothing where it cannot be read."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
