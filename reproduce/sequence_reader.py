"""Networks that read a sequence, and their training: RNN, LSTM, GRU, and an LSTM whose states are attended to."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

import torch
from torch import Tensor, nn

from jumok.mechanisms.additive import Additive
from jumok.mechanisms.multi_head import MultiHead
from jumok.mechanisms.recurrent.cells import CELLS, start_layer, weights_of
from jumok.tasks.running.optimiser import rate
from reproduce.rows import positive

ENCODER = "lstm"
"""The cell whose states the attention looks at."""
NETWORKS = (*CELLS, "attention")
REPORTS = 10

Batches = Callable[[int], tuple[Tensor, Tensor]]
"""From the step's number to (inputs, wanted)."""
Loss = Callable[[Tensor, Tensor], Tensor]


def add_training_options(
    parser: ArgumentParser, *, hidden: int, steps: int, batch: int, lr: float, clip: float
) -> None:
    """Let the command line choose the networks and how they are trained."""
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="default: all")
    parser.add_argument("--hidden", type=positive, default=hidden, help="size of the state (default: %(default)s)")
    parser.add_argument("--steps", type=positive, default=steps, help="of the optimiser (default: %(default)s)")
    parser.add_argument("--batch", type=positive, default=batch, help="sequences per step (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=lr, help="highest learning rate (default: %(default)s)")
    parser.add_argument("--clip", type=float, default=clip, help="largest norm of a gradient (default: %(default)s)")


class ReadLast(nn.Module):
    """Read a sequence and answer once, after its last step.

    rnn, lstm, gru: from the last state h_T alone. attention: from h_T and the context that it sees when it looks at
    h_1..h_T, with an additive score.

    >>> ReadLast("attention", inputs=2, outputs=1, hidden=8)(torch.zeros(3, 5, 2)).shape
    torch.Size([3, 1])
    """

    def __init__(self, network: str, inputs: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.layer = _layer(network, inputs, hidden)
        self.attention = Additive(hidden, hidden, hidden) if network == "attention" else None
        self.output = nn.Linear(hidden if self.attention is None else 2 * hidden, outputs)

    def forward(self, sequence: Tensor) -> Tensor:
        """(batch, steps, inputs) to (batch, outputs)."""
        h = self.layer(sequence)[0]
        last = h[:, -1]
        if self.attention is not None:
            last = torch.cat([last, self.attention(last[:, None], h, h)[:, 0]], -1)
        answer: Tensor = self.output(last)
        return answer


class ReadEach(nn.Module):
    """Read a sequence and answer at each step.

    rnn, lstm, gru: from the state h_i alone. attention: from h_i and the context that it sees when it looks at
    h_1..h_i, with a scaled dot product (one head).

    >>> ReadEach("attention", inputs=2, outputs=4, hidden=8)(torch.zeros(3, 5, 2)).shape
    torch.Size([3, 5, 4])
    """

    def __init__(self, network: str, inputs: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.layer = _layer(network, inputs, hidden)
        self.attention = MultiHead(hidden, heads=1) if network == "attention" else None
        self.output = nn.Linear(hidden if self.attention is None else 2 * hidden, outputs)

    def forward(self, sequence: Tensor) -> Tensor:
        """(batch, steps, inputs) to (batch, steps, outputs)."""
        h = self.layer(sequence)[0]
        if self.attention is not None:
            h = torch.cat([h, self.attention(h, causal=True)], -1)
        answer: Tensor = self.output(h)
        return answer


def _layer(network: str, inputs: int, hidden: int) -> nn.RNNBase:
    """PyTorch's fused layer of the network's cell, with the weights that the program's own systems begin with."""
    cell = ENCODER if network == "attention" else network
    layer = CELLS[cell].layer(inputs, hidden, batch_first=True)
    start_layer(cell, *weights_of(layer))
    return layer


def size(model: nn.Module) -> int:
    """How many numbers a model learns."""
    return sum(value.numel() for value in model.parameters())


def describe_training(options: Namespace, model: nn.Module) -> str:
    """The size of a network and the settings of its training, for its row."""
    return (
        f"hidden {options.hidden} ({size(model):,} parameters), batches of {options.batch}, "
        f"Adam {options.lr:g}, clip {options.clip:g}"
    )


def train(model: nn.Module, batches: Batches, loss: Loss, *, steps: int, lr: float, clip: float, name: str) -> float:
    """Train by Adam, the rate going up over a twentieth of the steps and down in a cosine; gives the seconds it took.

    Args:
        clip: the largest norm that a gradient keeps.
        name: for the lines on stderr that say how far it is.
    """
    started = time.perf_counter()
    optimiser = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    total, since = 0.0, 0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * rate(step, steps, 0.05)
        inputs, wanted = batches(step)
        value = loss(model(inputs), wanted)
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
        total, since = total + value.item(), since + 1
        if (step + 1) % max(1, steps // REPORTS) == 0:
            seconds = time.perf_counter() - started
            print(f"{name}: step {step + 1} of {steps}, loss {total / since:.4g}, {seconds:.0f} s", file=sys.stderr)
            total, since = 0.0, 0
    return time.perf_counter() - started
