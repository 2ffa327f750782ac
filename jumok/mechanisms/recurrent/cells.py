"""Recurrent cells to their formulas: RNN, LSTM and GRU.

A step takes what its input gives to the gates, U1 x_i + b1, which all steps can have from one product beforehand, and
the state before it. The gates lie one after another in one tensor, in the order of PyTorch's own layers, so that a
cell can go on with the weights of such a layer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jumok.watching.watchers import unseen

__all__ = [
    "CELLS", "Cell", "States", "gru", "lstm", "rnn", "run_layer", "runs_in", "start_layer", "step_layer", "weights_of",
]  # fmt: skip

States = tuple[Tensor, ...]
"""The state of a cell, the output first: (h,) or, of the LSTM, (h, c); each (..., hidden)."""


def rnn(inputs: Tensor, recurrent: Tensor, before: States) -> States:
    """One step of the plain recurrent network: h_i = t1(U3 h_{i-1} + U1 x_i), with t1 = tanh.

    Args:
        inputs: (..., hidden), U1 x_i with its bias.
        recurrent: (..., hidden), U3 h_{i-1} with its bias.
        before: (h_{i-1},); not needed beyond `recurrent`.
    Returns:
        (h_i,). What the network says of it, o_i = t2(U2 h_i), is its owner's.
    Source: Elman 1990, Cognitive Science 14.
    """
    return (torch.tanh(inputs + recurrent),)


def lstm(inputs: Tensor, recurrent: Tensor, before: States) -> States:
    """One step of the long short-term memory.

    i, f, o = sigmoid of their parts of U1 x_i + U3 h_{i-1}; u = tanh of its part;
    c_i = f * c_{i-1} + i * u; h_i = o * tanh(c_i).

    Args:
        inputs: (..., 4 x hidden), U1 x_i with its bias, in the order i, f, u, o.
        recurrent: (..., 4 x hidden), U3 h_{i-1} with its bias.
        before: (h_{i-1}, c_{i-1}).
    Returns:
        (h_i, c_i).
    Source: Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000; no peepholes.
    """
    input_gate, forget_gate, update, output_gate = (inputs + recurrent).chunk(4, -1)
    cell = torch.sigmoid(forget_gate) * before[1] + torch.sigmoid(input_gate) * torch.tanh(update)
    return torch.sigmoid(output_gate) * torch.tanh(cell), cell


def gru(inputs: Tensor, recurrent: Tensor, before: States) -> States:
    """One step of the gated recurrent unit, in PyTorch's variant: the reset gate acts after the product.

    r, z = sigmoid of their parts of U1 x_i + U3 h_{i-1}; n = tanh(U1 x_i + r * (U3 h_{i-1})) of the third part;
    h_i = (1 - z) * n + z * h_{i-1}.

    Args:
        inputs: (..., 3 x hidden), U1 x_i with its bias, in the order r, z, n.
        recurrent: (..., 3 x hidden), U3 h_{i-1} with its bias.
        before: (h_{i-1},).
    Returns:
        (h_i,).
    Source: Cho et al. 2014, arXiv 1406.1078v1, where r acts after the product; in its later versions r acts on
        h_{i-1} before it. z keeps the old state.
    """
    size = before[0].shape[-1]
    reset, keep = torch.sigmoid(inputs[..., : 2 * size] + recurrent[..., : 2 * size]).chunk(2, -1)
    new = torch.tanh(inputs[..., 2 * size :] + reset * recurrent[..., 2 * size :])
    return (new + keep * (before[0] - new),)


class Cell(NamedTuple):
    """A recurrent cell.

    Args:
        step: (inputs, recurrent, state before) to the state after.
        gates: how many times the hidden size its inputs have.
        states: how many tensors its state has.
        layer: PyTorch's layer of it, fused over all steps.
    """

    step: Callable[[Tensor, Tensor, States], States]
    gates: int
    states: int
    layer: type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]


CELLS: Mapping[str, Cell] = {
    "rnn": Cell(rnn, 1, 1, nn.RNN),
    "lstm": Cell(lstm, 4, 2, nn.LSTM),
    "gru": Cell(gru, 3, 1, nn.GRU),
}


def run_layer(layer: nn.RNNBase, inputs: Tensor, before: States | None = None) -> Tensor:
    """Take all steps by PyTorch's layer (one layer, one direction), from zeros or from a state.

    Under autocast on a processor without a kernel of the lower precision, the layer runs in float32.

    Args:
        inputs: (batch, steps, input size).
        before: the state, each (1, batch, hidden). None: zeros.
    Returns:
        (batch, steps, hidden), h of each step.
    """
    if torch.compiler.is_exporting():
        return _scan_steps(layer, inputs, before)
    device = inputs.device.type
    if device != "cpu" or not torch.is_autocast_enabled(device) or runs_in(torch.get_autocast_dtype(device), layer):
        return _all_steps(layer, inputs, before)
    with torch.autocast(device, enabled=False):
        return _all_steps(layer, inputs.float(), None if before is None else tuple(part.float() for part in before))


def _scan_steps(layer: nn.RNNBase, inputs: Tensor, before: States | None) -> Tensor:
    """The same as a loop that an exported graph keeps, so that the number of steps stays open."""
    from torch._higher_order_ops.scan import scan

    cell = next(cell for cell in CELLS.values() if isinstance(layer, cell.layer))
    u1, u3, b1, b3 = weights_of(layer)
    zeros = inputs.new_zeros(inputs.shape[0], layer.hidden_size)
    start = [zeros.clone() for _ in range(cell.states)] if before is None else [part[0].clone() for part in before]

    def step(state: list[Tensor], given: Tensor) -> tuple[list[Tensor], Tensor]:
        after = cell.step(given, F.linear(state[0], u3, b3), tuple(state))
        return list(after), after[0].clone()

    _, outputs = scan(step, start, F.linear(inputs, u1, b1).transpose(0, 1))
    return outputs.transpose(0, 1)  # type: ignore[no-any-return]


def _all_steps(layer: nn.RNNBase, inputs: Tensor, before: States | None) -> Tensor:
    """PyTorch wants the state of one tensor bare."""
    states: Tensor = layer(inputs, before[0] if before is not None and len(before) == 1 else before)[0]
    return states


def runs_in(dtype: torch.dtype, layer: nn.RNNBase) -> bool:
    """Whether this processor trains such a layer under autocast; tried once, with a small one."""
    kind: Any = type(layer)
    return bool(_trains(kind, dtype))


@functools.cache
def _trains(kind: Any, dtype: torch.dtype) -> bool:
    with unseen(), torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        layer = kind(4, 4, batch_first=True)
        try:
            with torch.autocast("cpu", dtype):
                found = layer(torch.zeros(2, 3, 4))[0]
            found.float().sum().backward()
        except RuntimeError:  # oneDNN has an LSTM of bf16 for processors with AVX-512 or AMX only, and no fallback
            return False
    return True


def step_layer(cell: Cell, layer: nn.RNNBase, inputs: Tensor, before: States) -> States:
    """Take one step with the weights of PyTorch's layer (one layer, one direction).

    Args:
        inputs: (..., input size).
        before: the state, each (..., hidden).
    """
    u1, u3, b1, b3 = weights_of(layer)
    return cell.step(F.linear(inputs, u1, b1), F.linear(before[0], u3, b3), before)


def weights_of(layer: nn.RNNBase) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """U1, U3 and their biases of PyTorch's layer (one layer, one direction)."""
    u1, u3, b1, b3 = layer.all_weights[0]
    return u1, u3, b1, b3


def start_layer(cell: str, u1: Tensor, u3: Tensor, *biases: Tensor) -> None:
    """Fresh weights: U1 keeps the spread, each gate's part of U3 is orthogonal, biases are 0.

    The LSTM's forget gate begins open, with a bias of 1 (Jozefowicz, Zaremba & Sutskever 2015, 5), so that gradients
    reach far back from the start.
    """
    gates = CELLS[cell].gates
    for part in (*u1.detach().chunk(gates), *u3.detach().chunk(gates)):
        (nn.init.orthogonal_ if part.shape[0] == part.shape[1] else nn.init.xavier_uniform_)(part)
    for bias in biases:
        nn.init.zeros_(bias)
    if cell == "lstm" and biases:
        nn.init.ones_(biases[0].detach().chunk(gates)[1])
