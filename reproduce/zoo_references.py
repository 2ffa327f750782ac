"""What a model's attention weights are, found without `jumok.watch`, to judge it by."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

NEAR = 1e-5
NEAR_ENOUGH = 5e-5
"""Of scores so large that those of float32 are no better."""
MOST_ROWS = 256  # compared with all rows of a map at once, which may be a hundred thousand
Given = list[tuple[str, Tensor]]
"""Weights, by the name of the output or module that they come from."""


def run(model: nn.Module, inputs: Mapping[str, Any], **options: Any) -> Any:
    """One forward pass whose randomness is always the same."""
    torch.manual_seed(0)
    with torch.no_grad():
        return model(**inputs, **options)


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in an output, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part)


def make_eager(model: nn.Module) -> nn.Module:
    """The same model, forming its weights itself where it can."""
    other = copy.deepcopy(model)
    if hasattr(other, "set_attn_implementation"):
        other.set_attn_implementation("eager")
        if getattr(other.config, "_attn_implementation", "eager") != "eager":  # chosen when it is built, once for all
            other = type(model)._from_config(copy.deepcopy(model.config), attn_implementation="eager").eval()
            other.to(next(model.parameters()).dtype).load_state_dict(model.state_dict())
    for module in other.modules():
        if hasattr(module, "fused_attn"):  # timm's
            module.fused_attn = False
    return other


def own_attentions(model: nn.Module, inputs: Mapping[str, Any]) -> tuple[Any, Given]:
    """One pass of a model that forms its weights itself: the output and these weights.

    Models of `transformers` give them; those of timm send them through a dropout, where they are caught.
    """
    options = {"output_attentions": True} if hasattr(model, "config") else {}
    sampled = Sampled()
    with _catch_dropped(model) as dropped, sampled:
        try:
            output = run(model, inputs, **options)
        except TypeError:
            sampled.grids.clear()
            output = run(model, inputs)
    given = _find_attentions(output) or dropped
    return output, [(name, sampled.spread(own)) for name, own in given]


class Sampled(TorchFunctionMode):
    """Keep the places at which grids are sampled, so that weights over such places can be told as those over cells."""

    def __init__(self) -> None:
        super().__init__()
        self.grids: list[tuple[tuple[int, int], Tensor]] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if getattr(function, "__name__", "") == "grid_sample" and args[0].dim() == 4:
            grid = args[1] if len(args) > 1 else (kwargs or {})["grid"]
            rows, columns = args[0].shape[-2:]
            self.grids.append(((rows, columns), grid.detach().clone()))
        return result

    def spread(self, own: Tensor) -> Tensor:
        """Weights (batch, queries, heads, [grids,] places) over cells, (batch, heads, queries, cells); others stay."""
        if own.dim() not in (4, 5):
            return own
        batch, queries, heads = own.shape[:3]
        wanted, count = own[0, 0, 0].numel(), 0
        found: list[tuple[int, tuple[int, int], Tensor]] = []
        for number, (size, grid) in enumerate(self.grids):
            fits = grid.shape[0] == batch * heads and grid.shape[1] == queries
            found, count = ([*found, (number, size, grid)], count + grid.shape[2]) if fits else ([], 0)
            if count == wanted:
                break
        else:
            return own
        used = {number for number, _, _ in found}
        self.grids = [each for number, each in enumerate(self.grids) if number not in used]
        shares = [_read_shares(size, grid) for _, size, grid in found]  # (batch x heads, queries, places, cells)
        weights = own.flatten(3).transpose(1, 2).flatten(0, 1)[:, :, None].split([each.shape[2] for each in shares], -1)
        cells = [(part @ each)[:, :, 0] for part, each in zip(weights, shares, strict=True)]
        return torch.cat(cells, -1).unflatten(0, (batch, heads))


def _read_shares(size: tuple[int, int], grid: Tensor) -> Tensor:
    """How much of each cell is in what is sampled, read off by sampling one image for each cell."""
    count = size[0] * size[1]
    images = torch.eye(count, dtype=grid.dtype).view(1, count, *size).expand(len(grid), -1, -1, -1)
    return torch.nn.functional.grid_sample(images, grid, align_corners=False).movedim(1, -1)


@contextlib.contextmanager
def _catch_dropped(model: nn.Module) -> Iterator[Given]:
    found: Given = []
    hooks = [
        module.register_forward_pre_hook(lambda _, args, name=name: found.append((name, args[0].detach().clone())))
        for name, module in model.named_modules()
        if name.endswith("attn_drop")
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _find_attentions(value: Any, path: str = "") -> Given:
    found: Given = []
    if isinstance(value, Mapping):
        for name, part in value.items():
            if "attentions" in name:
                found += [(f"{path}{name}", own) for own in tensors(part)]
            elif isinstance(part, Mapping):
                found += _find_attentions(part, f"{path}{name}.")
    return found


def are_weights(own: Tensor) -> bool:
    """Whether these are weights over keys: not the state of linear attention, nor shares of sampled points."""
    if own.dim() < 3 or own.shape[-1] < 1:
        return False
    sums = own.float().sum(-1)
    whole = float((sums - 1).abs().max()) < 1e-2
    below = own.dim() in (3, 4) and float(sums.max()) < 1.01  # a sink takes the rest, or a mask everything
    return float(own.min()) >= 0 and (whole or below)


PRODUCTS = ("matmul", "__matmul__", "bmm", "einsum")


class Direct(TorchFunctionMode):
    """Compute the weights of each call to the fused kernel at once, by the kernel's definition; keep each softmax.

    What the model itself multiplies with something is kept, too: weights that no softmax gives are among it.

    >>> query = torch.randn(1, 2, 3, 4)
    >>> with Direct() as direct:
    ...     _ = torch.nn.functional.scaled_dot_product_attention(query, query, query)
    >>> [(name, tuple(weights.shape)) for name, weights in direct.given]
    [('call 1', (1, 2, 3, 3))]
    """

    def __init__(self) -> None:
        super().__init__()
        self.given: Given = []
        self.softmaxes: Given = []
        self.multiplied: Given = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__name__", "") == "scaled_dot_product_attention":
            self.given.append((f"call {len(self.given) + 1}", _weigh(*args, **kwargs)))
        if getattr(function, "__name__", "") == "multi_head_attention_forward":
            shown = {**kwargs, "need_weights": True, "average_attn_weights": False}
            self.given.append((f"call {len(self.given) + 1}", function(*args, **shown)[1]))
        if getattr(function, "__name__", "") in PRODUCTS:
            self.multiplied += [("product", own.detach().clone()) for own in tensors(args) if own.dim() > 2]
        result = function(*args, **kwargs)
        if getattr(function, "__name__", "") == "softmax":
            self.softmaxes.append((f"softmax {len(self.softmaxes) + 1}", result.clone()))
        return result


def _weigh(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(q k^T scale + mask), with the arguments of the kernel; zeros where all is masked, or is no token."""
    if query.is_nested:
        each = zip(query.unbind(), key.unbind(), value.unbind(), strict=True)
        items = [_weigh(*item, is_causal=is_causal, scale=scale) for item in each]
        rows, columns = (max(item.shape[axis] for item in items) for axis in (-2, -1))
        return torch.stack([F.pad(item, (0, columns - item.shape[-1], 0, rows - item.shape[-2])) for item in items])
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    scores = query.double() @ key.double().mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).tril().logical_not(), -torch.inf)
    if attn_mask is not None:
        masked = attn_mask.dtype is torch.bool
        scores = scores.masked_fill(attn_mask.logical_not(), -torch.inf) if masked else scores + attn_mask
    return scores.softmax(-1).nan_to_num(0.0).float()


def match(given: Given, maps: Mapping[str, Tensor], near: float = NEAR) -> list[str]:
    """Pair a model's own weights with maps, each once; a line for each that equals none.

    Weights in another form, such as a band of keys around each query, must agree row by row with the rows of a map.

    >>> even = torch.full((1, 1, 2, 2), 0.5)
    >>> match([("attentions", even)], {"layer": even})
    []
    >>> match([("attentions", even)], {"layer": torch.eye(2)[None, None]})
    ['attentions[0] (1, 1, 2, 2) differs by 0.5 from layer']
    """
    left = dict(maps)
    lines = []
    for number, (name, own) in enumerate(given):
        distances = {candidate: distance(own, weights) for candidate, weights in left.items()}
        best = min(distances, key=distances.__getitem__, default=None)
        if best is None or distances[best] == float("inf"):
            if any(are_same_rows(own, weights, near) for weights in maps.values()):
                continue
            shapes = " ".join(dict.fromkeys(str(tuple(weights.shape)) for weights in maps.values()))
            lines.append(f"{name}[{number}] {tuple(own.shape)} fits none of the maps {shapes[:90]}".rstrip())
        elif distances[best] > near:
            lines.append(f"{name}[{number}] {tuple(own.shape)} differs by {distances[best]:.2g} from {best}")
        elif left[best].numel() == own.numel():  # a part of a map, such as that of the other stream, leaves the rest
            del left[best]
    return lines


def distance(own: Tensor, weights: Tensor) -> float:
    """The largest difference of weights to a map of them, infinite where the shapes do not fit.

    The map may have more axes in front, or these in another order. The weights may be a part of it, such as its first
    or last keys, or its average over the heads, given for each of them.
    """
    forms = [weights]
    if own.dim() == weights.dim() == 4 and own.shape[:2] == weights.shape[:2]:
        forms = _cut(weights, own.shape[-2], own.shape[-1])
        if torch.equal(own, own[:, :1].expand_as(own)):
            forms = [form.mean(1, keepdim=True).expand_as(form) for form in forms]
    elif weights.dim() > 4:
        lead = range(weights.dim() - 2)
        forms += [weights.movedim(old, new) for old in lead for new in lead if old != new]
    flat = own.float().reshape(-1, *own.shape[-2:])
    fitting = [form for form in forms if form.numel() == own.numel() and form.shape[-2:] == own.shape[-2:]]
    return min((farthest(flat, form.reshape(flat.shape)) for form in fitting), default=float("inf"))


def _cut(weights: Tensor, queries: int, keys: int) -> list[Tensor]:
    """The last queries and keys, or the first of both."""
    return [weights[..., -queries:, -keys:], weights[..., :queries, :keys]]


def find_unmatched(given: Given, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The maps that equal none of the weights that are given."""
    return {
        name: weights
        for name, weights in maps.items()
        if not any(
            distance(own, weights) <= NEAR_ENOUGH or are_same_rows(own, weights, NEAR_ENOUGH) for _, own in given
        )
    }


def are_same_rows(own: Tensor, weights: Tensor, near: float = NEAR) -> bool:
    """As `are_rows_of`, of weights in another form than the map's: of other keys, or with the same axes elsewhere."""
    other = own.shape[-1] != weights.shape[-1] or (own.numel() == weights.numel() and own.dim() != weights.dim())
    return other and are_rows_of(own, weights, near)


def are_rows_of(own: Tensor, weights: Tensor, near: float = NEAR) -> bool:
    """Whether each row of weights is, in some order of its keys, a row of the map: by its largest, sum and squares."""
    wanted, there = (_sum_up(rows) for rows in (own.float(), weights.float()))
    if not len(there) or not len(wanted) or len(there) < len(wanted):
        return False
    nearest = [torch.cdist(part.double(), there.double()).amin(1).max() for part in wanted.split(MOST_ROWS)]
    return float(torch.stack(nearest).max()) <= 3 * near


def _sum_up(rows: Tensor) -> Tensor:
    """(rows, 3), without rows of zeros."""
    rows = rows.reshape(-1, rows.shape[-1])
    rows = rows[rows.any(-1)]
    return torch.stack([rows.amax(-1), rows.sum(-1), rows.square().sum(-1)], -1)


def farthest(one: Tensor, other: Tensor) -> float:
    """The largest difference."""
    return float((one - other).nan_to_num(0.0, 1.0, 1.0).abs().max()) if one.numel() else 0.0


def dense_rollout(layers: list[Tensor], residual: float = 0.5) -> Tensor:
    """Rollout by its definition, as a product of matrices: (batch, queries, keys).

    Args:
        layers: (batch, heads, tokens, tokens) each, the first layer first.
        residual: the share of a token that passes each layer unmixed.
    Source: Abnar & Zuidema 2020, arXiv 2005.00928, section 3.
    """
    result = torch.eye(layers[0].shape[-1]).expand(len(layers[0]), -1, -1)
    for own in layers:
        result = (residual * torch.eye(own.shape[-1]) + (1 - residual) * own.float().mean(1)) @ result
    return result
