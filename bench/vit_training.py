"""Training steps of a small ViT, ours beside timm's and vit-pytorch's: `python -m bench vit_training`.

32 x 32 images, patch 4, width 192, depth 9, 3 heads, batch 128; a step is forward, cross entropy, backward and AdamW
(the fused one, for all). Each model trains in a process of its own; they take turns, one step each, and medians count.

Two comparisons: *as shipped*, in which ours has the allocator settings of `jumok train` (`jumok.memory`) and the peers
have none; and *same allocator*, in which all have them, so that only the models differ.

Work is counted as 2 operations per multiply-add of the linear maps and of the two products of attention, and the
backward pass as twice the forward pass. Ours leaves out what no logit depends on: in the last block, all but the cls
token after its attention. The fraction of the peak counts only the work that is done; the peak is the better of
`torch.mm` (MKL) and a 1 x 1 convolution (oneDNN) on large squares, in turns with the steps.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from multiprocessing.connection import Connection
from types import TracebackType

import torch
from torch import nn
from torch.nn import functional as F

from bench import torchvision_names
from bench.table import Row, interleaved
from jumok.memory import keep_freed
from jumok.systems.vit import ViT, ViTConfig

SIDE, PATCH, WIDTH, DEPTH, HEADS, BATCH, CLASSES = 32, 4, 192, 9, 3, 128, 10
TOKENS = (SIDE // PATCH) ** 2 + 1
SQUARE = 2048
ROUNDS = 15
GOAL = ">= 1.1"
PEERS = ("timm", "vit-pytorch")
PRODUCTS = ("torch.mm", "1 x 1 convolution")


def ours() -> nn.Module:
    return ViT(ViTConfig(classes=CLASSES, image_size=SIDE, patch=PATCH, width=WIDTH, depth=DEPTH, heads=HEADS))


def timm() -> nn.Module:
    torchvision_names.define()
    from timm.models.vision_transformer import VisionTransformer

    model: nn.Module = VisionTransformer(
        img_size=SIDE, patch_size=PATCH, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, num_classes=CLASSES
    )
    return model


def vit_pytorch() -> nn.Module:
    torchvision_names.define()
    from vit_pytorch import ViT as Peer

    model: nn.Module = Peer(
        image_size=SIDE,
        patch_size=PATCH,
        dim=WIDTH,
        depth=DEPTH,
        heads=HEADS,
        mlp_dim=4 * WIDTH,
        dim_head=WIDTH // HEADS,
        num_classes=CLASSES,
    )
    return model


MODELS: Mapping[str, Callable[[], nn.Module]] = {"ours": ours, "timm": timm, "vit-pytorch": vit_pytorch}


# -- the work, one process each -----------------------------------------------------------------


def training_step(name: str) -> tuple[Callable[[], object], int]:
    """A step of the model named, and how many parameters it has."""
    torch.manual_seed(0)
    model = MODELS[name]().train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    images, labels = torch.randn(BATCH, 3, SIDE, SIDE), torch.randint(CLASSES, (BATCH,))

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimiser.step()

    return step, sum(parameter.numel() for parameter in model.parameters())


def product(name: str) -> tuple[Callable[[], object], int]:
    """A large square product of matrices, by MKL or by oneDNN, and how many operations it takes."""
    square = torch.randn(SQUARE, SQUARE)
    pixels = square.view(2, SQUARE // 2, 1, SQUARE).permute(0, 3, 1, 2)  # its rows are the pixels of two images
    kernel = square[:, :, None, None]
    steps = (lambda: torch.mm(square, square), lambda: F.conv2d(pixels, kernel))
    return dict(zip(PRODUCTS, steps, strict=True))[name], 2 * SQUARE**3


def serve(pipe: Connection, name: str, threads: int, keep: bool) -> None:
    """Build what is named, say its size, and do a step whenever asked."""
    torch.set_num_threads(threads)
    if keep:
        keep_freed()
    step, size = training_step(name) if name in MODELS else product(name)
    pipe.send(size)
    while pipe.recv():
        step()
        pipe.send(None)


class Worker:
    """A process that does steps when it is told to."""

    def __init__(self, name: str, threads: int, *, keep: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, name, threads, keep), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.size: int = self._pipe.recv()
        except EOFError:
            raise SystemExit(f"{name} did not start, see above; the peers are installed by: make bench-peers") from None

    def step(self) -> None:
        """Do one step; returns when it is done."""
        self._pipe.send(True)
        self._pipe.recv()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()


# -- what is measured ---------------------------------------------------------------------------


def operations(*, finished: int = TOKENS) -> int:
    """Operations of a training step per image, with so many tokens finished in the last block."""
    patches = (TOKENS - 1) * 3 * PATCH**2 * WIDTH
    forward = patches + (DEPTH - 1) * _block(TOKENS) + _block(finished) + WIDTH * CLASSES
    return 3 * 2 * forward


def _block(queries: int) -> int:
    """Multiply-adds of a block in which so many tokens look at all."""
    key_value, rest = TOKENS * 2 * WIDTH**2, queries * (1 + 1 + 8) * WIDTH**2  # query, output, MLP of 4 x width
    return key_value + rest + 2 * queries * TOKENS * WIDTH


def run(threads: int = 2) -> list[Row]:
    """All rows of this bench."""
    shipped, sizes = _timed(
        {
            "ours": ("ours", True),
            "ours, usual allocator": ("ours", False),
            **{name: (name, False) for name in (*PEERS, *PRODUCTS)},
        },
        threads,
    )
    same, _ = _timed({name: (name, True) for name in MODELS}, threads)
    rows = [_against(peer, shipped, sizes, "as shipped") for peer in PEERS]
    rows += [_against(peer, same, sizes, "same allocator") for peer in PEERS]
    return [*rows, _allocator(shipped), _of_peak(shipped)]


def _timed(workers: Mapping[str, tuple[str, bool]], threads: int) -> tuple[dict[str, float], dict[str, int]]:
    """Median seconds of each worker's step, and the workers' sizes."""
    with ExitStack() as stack:
        started = {
            label: stack.enter_context(Worker(name, threads, keep=keep)) for label, (name, keep) in workers.items()
        }
        times = interleaved({label: worker.step for label, worker in started.items()}, ROUNDS)
        return times, {label: worker.size for label, worker in started.items()}


def _against(peer: str, times: Mapping[str, float], sizes: Mapping[str, int], how: str) -> Row:
    note = f"{sizes['ours'] / 1e6:.2f} M parameters, theirs {sizes[peer] / 1e6:.2f} M"
    return Row(
        f"images/s in training, ours / {peer}, {how}",
        times[peer] / times["ours"],
        GOAL,
        BATCH / times["ours"],
        BATCH / times[peer],
        "images/s",
        note,
    )


def _allocator(times: Mapping[str, float]) -> Row:
    usual = times["ours, usual allocator"]
    return Row(
        "images/s in training, ours with freed memory kept / without",
        usual / times["ours"],
        "",
        BATCH / times["ours"],
        BATCH / usual,
        "images/s",
    )


def _of_peak(times: Mapping[str, float]) -> Row:
    peaks = {name: 2 * SQUARE**3 / times[name] / 1e9 for name in PRODUCTS}
    best = max(peaks, key=lambda name: peaks[name])
    done = operations(finished=1) * BATCH / times["ours"] / 1e9
    whole = operations() * BATCH / times["ours"] / 1e9
    note = f"peak: {best}; {whole / peaks[best]:.2f} if the work left out is counted; " + ", ".join(
        f"{name} {value:.0f}" for name, value in peaks.items()
    )
    return Row(
        "work done / the machine's matrix-product peak, ours",
        done / peaks[best],
        "",
        done,
        peaks[best],
        "GFLOP/s",
        note,
    )
