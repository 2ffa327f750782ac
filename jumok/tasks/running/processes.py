"""How the processes of a training find each other."""

from __future__ import annotations

import os

from pytorch_lightning.strategies import DDPStrategy
from torch import distributed

from jumok.machine import World

__all__ = ["SharedTraining"]


class SharedTraining(DDPStrategy):
    """Several processes that share each batch.

    torchrun keeps one store of addresses over all its restarts, so that processes that were started anew would find
    those of dead ones and wait for them: on CPUs, where gloo connects them, each start has names of its own.

    Args:
        accelerator: "cpu" or "cuda".
    """

    def __init__(self, accelerator: str) -> None:
        super().__init__(process_group_backend="gloo" if accelerator == "cpu" else None)
        self._on_cpu = accelerator == "cpu"

    def setup_distributed(self) -> None:
        start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        if start != "0" and self._on_cpu and not distributed.is_initialized():
            world = World.found()
            store, rank, size = next(distributed.rendezvous("env://", world.rank, world.size))  # type: ignore[attr-defined]
            named = distributed.PrefixStore(f"start {start}", store)  # type: ignore[attr-defined]
            distributed.init_process_group("gloo", store=named, rank=rank, world_size=size)
        super().setup_distributed()
