"""Training steps of a small ViT, jumok beside timm's and vit-pytorch's: `python -m bench vit_training`.

32 x 32 images, patch 4, width 192, depth 9, 3 heads, batch 128; a step is forward, cross entropy, backward and AdamW
(the fused one, for all). Each model trains in a process of its own; they take turns, one step each, and medians count.

Two comparisons: *as shipped*, in which ours has the allocator settings of `jumok train` (`jumok.machine`) and the peers
have none; and *same allocator*, in which all have them, so that only the models differ.

Work is counted as 2 operations per multiply-add of the linear maps and of the two products of attention, and the
backward pass as twice the forward pass. Ours leaves out what no logit depends on: in the last block, all but the cls
token after its attention. The fraction of the peak counts only the work that is done; the peak is that of the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec

import torch
from torch import nn
from torch.nn import functional as F

from bench import machine, torchvision_names
from bench.measuring import Ratio, Samples, device, interleaved, ratio
from bench.table import Part, Row
from bench.workers import Step, Worker
from jumok.mechanisms.kernels.timing import settle
from jumok.systems.vit import ViT, ViTConfig

SIDE, PATCH, WIDTH, DEPTH, HEADS, BATCH, CLASSES = 32, 4, 192, 9, 3, 128, 10
TOKENS = (SIDE // PATCH) ** 2 + 1
ROUNDS = 15
GOAL, OF_PEAK = ">= 1.25", ">= 0.8"
PEERS = ("timm", "vit-pytorch")


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


def training_step(name: str) -> Step:
    """A step of the model named."""
    torch.manual_seed(0)
    model = MODELS[name]().train().to(device())
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    images = torch.randn(BATCH, 3, SIDE, SIDE, device=device())
    labels = torch.randint(CLASSES, (BATCH,), device=device())

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimiser.step()

    if name == "ours":
        settle(step)
    return step


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


def run(threads: int = 2) -> Iterator[Part]:
    """All rows of this bench."""
    yield "ViT training, as shipped", lambda: _shipped(threads)
    yield "ViT training, same allocator", lambda: _same(threads)


def _shipped(threads: int) -> Iterator[Row]:
    sides: dict[str, tuple[str, bool]] = {"ours": ("ours", True), "ours, usual allocator": ("ours", False)}
    times, spent = _timed({**sides, **{name: (name, False) for name in there()}}, threads)
    rows = [*(_against(peer, times, "as shipped") for peer in there()), _allocator(times), _of_peak(times)]
    yield from (replace(row, spent=spent) for row in rows)


def _same(threads: int) -> Iterable[Row]:
    times, spent = _timed({name: (name, True) for name in ("ours", *there())}, threads)
    return [replace(_against(peer, times, "same allocator"), spent=spent) for peer in there()]


def there() -> list[str]:
    """The peers that are installed; `make bench-peers` installs both."""
    return [peer for peer in PEERS if find_spec(peer.replace("-", "_"))]


def _timed(workers: Mapping[str, tuple[str, bool]], threads: int) -> tuple[Samples, str]:
    """Seconds of each worker's step, and where the time of ours goes."""
    with ExitStack() as stack:
        begun = {
            label: Worker(training_step, name, threads=threads, keep=keep) for label, (name, keep) in workers.items()
        }
        started = {label: stack.enter_context(worker) for label, worker in begun.items()}
        times = interleaved({label: worker.step for label, worker in started.items()}, ROUNDS)
        return times, started["ours"].tell_spent()


def _against(peer: str, times: Samples, how: str) -> Row:
    sizes = {name: sum(parameter.numel() for parameter in MODELS[name]().parameters()) for name in ("ours", peer)}
    note = f"{sizes['ours'] / 1e6:.2f} M parameters, theirs {sizes[peer] / 1e6:.2f} M"
    return Row(
        f"images/s in training, jumok / {peer}, {how}",
        ratio(times, peer, "ours"),
        GOAL,
        BATCH / times["ours"],
        BATCH / times[peer],
        "images/s",
        note,
        machine.peak() / operations(finished=1),
        "products at peak",
    )


def _allocator(times: Samples) -> Row:
    usual = times["ours, usual allocator"]
    return Row(
        "images/s in training, ours with freed memory kept / without",
        ratio(times, "ours, usual allocator", "ours"),
        "",
        BATCH / times["ours"],
        BATCH / usual,
        "images/s",
        limit=machine.peak() / operations(finished=1),
        bound="products at peak",
    )


def _of_peak(times: Samples) -> Row:
    done, whole = operations(finished=1) * BATCH, operations() * BATCH
    return Row(
        "work done / the machine's matrix-product peak, ours",
        share_of_peak(times, "ours", done),
        OF_PEAK,
        done / times["ours"] / 1e9,
        machine.peak() / 1e9,
        "GFLOP/s",
        f"{whole / times['ours'] / machine.peak():.2f} if the work left out is counted",
    )


def share_of_peak(times: Samples, name: str, work: float) -> Ratio:
    """What a step reaches of the products that the machine computes at best.

    Args:
        times: seconds of steps.
        name: of the step.
        work: operations of one.
    """
    return Ratio.of([work / seconds / machine.peak() for seconds in times.values_of[name]])
