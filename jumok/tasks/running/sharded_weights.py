"""Weights and the optimiser's state shared out among the processes of a training (FSDP): each holds a part of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from jumok.tasks.running.processes import SharedTraining

__all__ = ["ShardedTraining", "are_finite", "gather"]


def gather(values: Any) -> Any:
    """The same nested values with whole tensors on the CPU, where each process holds a part of one.

    All processes must call it, in the same order.
    """
    from torch.distributed.tensor import DTensor

    if isinstance(values, DTensor):
        return values.full_tensor().cpu()
    if isinstance(values, Mapping):
        return {name: gather(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return type(values)(gather(value) for value in values)
    return values


def are_finite(module: nn.Module) -> bool:
    """Whether no weight is NaN or infinite, in any process that holds a part of them."""
    from torch.distributed.tensor import DTensor

    values = list(module.parameters())
    own = [value.to_local() if isinstance(value, DTensor) else value for value in values]
    fine = all(bool(torch.isfinite(value).all()) for value in own)
    if not any(isinstance(value, DTensor) for value in values):
        return fine
    told = torch.tensor(int(fine), device=own[0].device)
    torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MIN)
    return bool(told)


class ShardedTraining(SharedTraining):
    """Several processes that share each batch, and the weights: a block's are whole only while it computes.

    Checkpoints hold whole tensors, as those of other trainings do.
    """

    def configure_ddp(self) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        module = self.lightning_module
        assert module is not None
        model = module.model
        assert isinstance(model, nn.Module)
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        for block in _find_blocks(model):
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = gather(super().lightning_module_state_dict())
        return found

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Tensor]:
        found: dict[str, Tensor] = gather(super().optimizer_state(optimizer))
        return found

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        module = self.lightning_module
        assert module is not None
        like = module.state_dict()
        state = {name: _share_out(value, like.get(name)) for name, value in checkpoint["state_dict"].items()}
        module.load_state_dict(state, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        shared = []
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            values = [value for group in optimizer.param_groups for value in group["params"]]
            own = {
                number: {name: _share_out(value, values[int(number)]) for name, value in each.items()}
                for number, each in state["state"].items()
            }
            shared.append({**state, "state": own})
        super().load_optimizer_state_dict({**checkpoint, "optimizer_states": shared})


def _find_blocks(model: nn.Module) -> list[nn.Module]:
    """What a model has several of in a row: its layers, each of which is called as a whole."""
    lists = (each for each in model.modules() if isinstance(each, nn.ModuleList | nn.Sequential) and len(each) > 1)
    return [
        block
        for each in lists
        if len({type(block) for block in each}) == 1
        for block in each
        if any(True for _ in block.parameters()) and any(True for _ in block.children())
    ]


def _share_out(value: Any, like: Any) -> Any:
    """A whole tensor as parts, as those of another one are; anything else as it is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(like, DTensor) and isinstance(value, Tensor) and value.shape == like.shape:
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return value
