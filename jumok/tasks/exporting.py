"""Models as files for other programs: `torch.export` programs and ONNX graphs, checked against the model itself."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.extras import install_extra
from jumok.files import replacing

__all__ = [
    "ONNX_PACKAGES", "OPSET", "TOLERANCE", "Graph", "Inputs", "compare_with_model", "make_program", "open_session",
    "require", "save_onnx", "save_program",
]  # fmt: skip

OPSET = 18
"""Of ONNX: the oldest that PyTorch writes, so that most runtimes read it."""
TOLERANCE = 1e-4
"""Most that a number of the graph may differ from the model's, in the unit of its output."""
LEAST, MOST = 1, 1 << 16
"""Between which the size of an open axis lies, where nothing else is said."""
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Graph:
    """A model, or a part of one, as another program calls it.

    Args:
        name: of its files.
        module: in eval mode; takes the inputs in their order, and gives a tensor or a tuple of them.
        example: inputs, each open axis of a size of 2 or more.
        outputs: names.
        axes: names of the open axes, by input: those of one name have one size.
        limits: the least and the greatest size of open axes, by name.
        units: what counts as 1 when an output is compared with the model's, by output; 1 where nothing is said.
    """

    name: str
    module: nn.Module
    example: Inputs
    outputs: tuple[str, ...]
    axes: Mapping[str, Mapping[int, str]]
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    units: Mapping[str, float] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Inputs with their shapes, for whoever calls it."""
        found = {}
        for name, value in self.example.items():
            open_ = self.axes.get(name, {})
            shape = [open_.get(axis, size) for axis, size in enumerate(value.shape)]
            found[name] = {"shape": shape, "type": str(value.dtype).removeprefix("torch.")}
        limits = {name: list(sizes) for name, sizes in self.limits.items()}
        return {"inputs": found, "outputs": list(self.outputs), "limits": limits}

    @torch.no_grad()
    def run(self, inputs: Inputs) -> dict[str, Tensor]:
        """What the model itself gives, by output."""
        found = self.module(*inputs.values())
        return dict(zip(self.outputs, found if isinstance(found, tuple) else (found,), strict=True))


def require(*packages: str) -> None:
    """Refuse where packages are missing.

    Raises:
        JumokError: one is.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise JumokError(f"this needs {', '.join(missing)}, which is not installed: {install_extra('export')}")


@torch.no_grad()
def make_program(graph: Graph) -> torch.export.ExportedProgram:
    """Trace a graph, its open axes kept open.

    Raises:
        JumokError: it cannot be traced.
    """
    names = {name for axes in graph.axes.values() for name in axes.values()}
    limits = {name: graph.limits.get(name, (LEAST, MOST)) for name in names}
    sizes = {name: torch.export.Dim(name, min=least, max=most) for name, (least, most) in limits.items()}
    shapes = [{axis: sizes[name] for axis, name in graph.axes.get(key, {}).items()} for key in graph.example]
    named = sum(each.kind is not each.VAR_POSITIONAL for each in signature(graph.module.forward).parameters.values())
    nested = (*shapes[:named], *([tuple(shapes[named:])] if named < len(shapes) else []))
    graph.module.eval().requires_grad_(False)
    try:
        with _quiet():
            return torch.export.export(graph.module, tuple(graph.example.values()), dynamic_shapes=nested, strict=False)
    except Exception as error:  # whatever it is that the tracer stumbles over
        raise JumokError(f"{graph.name} cannot be traced: {_first_line(error)}") from error


def save_program(program: torch.export.ExportedProgram, path: Path) -> None:
    """Write a .pt2 file, whole or not at all.

    Raises:
        JumokError: it cannot be written.
    """
    with replacing(path) as fresh, _quiet():
        torch.export.save(program, fresh)


def save_onnx(
    program: torch.export.ExportedProgram, graph: Graph, path: Path, batches: Sequence[Inputs]
) -> dict[str, float]:
    """Write an ONNX file, if it gives what the model gives.

    Args:
        program: of the graph.
        graph: what it was made of.
        path: of the file.
        batches: real inputs, to compare on.
    Returns:
        the greatest difference of each output.
    Raises:
        JumokError: packages are missing, an operation has no counterpart, the numbers differ, or it cannot be written.
    """
    require(*ONNX_PACKAGES)
    with replacing(path) as fresh:
        try:
            with _quiet():
                written = torch.onnx.export(
                    program, dynamo=True, verbose=False, opset_version=OPSET, input_names=list(graph.example),
                    output_names=list(graph.outputs),
                )  # fmt: skip
                assert written is not None
                written.save(fresh)
        except Exception as error:
            if isinstance(error, OSError):
                raise
            raise JumokError(f"{graph.name} cannot be written as ONNX: {_first_line(error)}") from error
        return compare_with_model(fresh, graph, batches)


def compare_with_model(path: Path, graph: Graph, batches: Sequence[Inputs]) -> dict[str, float]:
    """Run real batches through ONNX Runtime and through the model.

    Returns:
        the greatest difference of each output.
    Raises:
        JumokError: more than the tolerance.
    """
    session, worst = open_session(path), dict.fromkeys(graph.outputs, 0.0)
    for inputs in batches:
        found = session.run(list(graph.outputs), {name: value.numpy() for name, value in inputs.items()})
        for value, (name, wanted) in zip(found, graph.run(inputs).items(), strict=True):
            apart = (torch.from_numpy(value).double() - wanted.double()).abs()
            worst[name] = max(worst[name], float(apart.max()))
    for name, difference in worst.items():
        most = TOLERANCE * graph.units.get(name, 1.0)
        if difference > most:
            raise JumokError(
                f"the ONNX graph of {graph.name} gives another {name} than the model, by {difference:.2g} (wanted at "
                f"most {most:g}): nothing was written"
            )
    return worst


def open_session(path: Path) -> Any:
    """An ONNX file in ONNX Runtime, on the CPU, with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks, which are on its own ways and not on the model."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(level)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
