"""What `watch` keeps of one call of a fused kernel, and what can be computed from it later.

A fused kernel never forms the weights, so a record keeps the query and key that went in and computes only the rows that
are asked for. `pull` gives the product r A of a row vector with the weights, and `pull_relevance` the same with
(dL/dA * A)+, both in blocks: at no time does an array of queries x keys exist. `relevant` is for who needs that array
itself, and gives it for some images at a time, with the heads already averaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.attention.attended import ALL, Rows
from jumok.errors import JumokError
from jumok.watching.provenance.call_tokens import Arrangement
from jumok.watching.record_parts import OfHeads, Unchanged, aside, clone, repeat_heads, safe_softmax, widen

BLOCK_COLUMNS = 1024
HEAD_VALUES = 1 << 17  # one block of one head is at most 512 KiB: it stays in a core's second-level cache
BLOCK_VALUES = 1 << 22  # blocks of several heads and images together hold at most 16 MiB
LOG2_E = math.log2(math.e)
LOG_SUM_EXP_OF_NOTHING = (
    1e30  # stands for the log-sum-exp of a row that may attend to nothing: exp(score - NOWHERE) is 0
)


@dataclass
class DotProduct(OfHeads):
    """softmax(scale q k^T + bias), of heads that stand apart.

    Args:
        query: (batch, heads, queries, size).
        key: (batch, key heads, keys, size); several query heads may share one (grouped-query attention).
        value: (batch, key heads, keys, value size), or None where no gradient will be asked for.
        bias: broadcastable to (batch, heads, queries, keys): bool (True = may be attended) or added to the scores.
        causal: a query may attend to no key after its own place.
        scale: factor on the scores.
        log_sum_exp: (batch, heads, queries) of the scores, where the fused kernel has told it.
        output: (batch, heads, queries, value size), part of the graph, or None.
        dropout: the probability that was used on the weights; they are given as they were before it.
        arrange: brings a gradient of the output to (batch, heads, queries, value size), where it has other axes.
    """

    query: Tensor
    key: Tensor
    value: Tensor | None = None
    bias: Tensor | None = None
    causal: bool = False
    scale: float = 1.0
    log_sum_exp: Tensor | None = None
    output: Tensor | None = None
    dropout: float = 0.0
    arrange: Callable[[Tensor], Tensor] | None = None
    unchanged: Unchanged = field(init=False)

    def __post_init__(self) -> None:
        self.unchanged = Unchanged(self.query, self.key, self.bias, copy=self._copy)

    def _copy(self) -> Sequence[Tensor | None]:
        self.query, self.key, self.bias = self.query.detach().clone(), self.key.detach().clone(), clone(self.bias)
        return self.query, self.key, self.bias

    def arranged(self, arrangement: Arrangement) -> DotProduct:
        """The same call with its own axes brought to (batch x windows, heads, queries, ...)."""
        own = self.query.shape[:3]
        bias = None if self.bias is None else self.bias.expand(self.shape)
        if self.causal and arrangement.packed is not None:
            causal = torch.ones(own[2], self.shape[3], dtype=torch.bool, device=self.device).tril().expand(self.shape)
            bias = (
                causal if bias is None else bias & causal if bias.dtype == torch.bool else bias.where(causal, -math.inf)
            )
        known = None if self.log_sum_exp is None else arrangement.apply_four(self.log_sum_exp[..., None])[..., 0]
        found = replace(
            self,
            query=arrangement.apply_four(self.query),
            key=arrangement.apply_four(self.key, queries=False),
            value=None if self.value is None else arrangement.apply_four(self.value, queries=False),
            bias=None if bias is None else arrangement.apply_four(bias),
            causal=self.causal and arrangement.packed is None,
            log_sum_exp=known,
            arrange=lambda gradient: arrangement.apply_four(gradient.reshape(*own, -1)),
        )
        found.unchanged = Unchanged(found.query, found.key, found.bias, origin=self.unchanged)
        return found

    @aside
    def weights(self, rows: Rows = None) -> Tensor:
        self.unchanged.check()
        query = self.query if rows is None else self.query[:, :, rows]
        scores = (widen(query) * self.scale) @ self._keys.transpose(-1, -2)
        if self.bias is None and not self.causal:
            return F.softmax(scores, -1).float()
        places = torch.arange(self.shape[2], device=self.query.device)[slice(None) if rows is None else rows]
        self._mask(scores, slice(None), places, slice(0, self.shape[3]))
        return safe_softmax(scores).float()

    @aside
    def pull(self, row: Tensor) -> Tensor:
        return self._pull(row, None)

    @aside
    def pull_relevance(self, row: Tensor, gradient: Tensor) -> Tensor:
        """As in `Attended`; dL/dA is dL/dO V^T, which needs no graph of its own.

        Source: Chefer, Gur & Wolf 2021, arXiv 2103.15679, eq. 5.
        """
        return self._pull(row, self._change(gradient))

    @aside
    def relevant(self, gradient: Tensor, images: slice = ALL) -> Tensor:
        """As in `Attended`; the heads exist block by block only."""
        self.unchanged.check()
        part, change = self._take_images(images), self._change(gradient)[images]
        batch, _, queries, keys = part.shape
        found = part._keys.new_empty(batch, queries, keys)
        for some, rows, columns, block in part._blocks_of_weights(None, change):
            found[some, rows, columns] = block.mean(1)
        return found

    @aside
    def pull_slope(self, row: Tensor, gradient: Tensor) -> Tensor:
        """As in `Sloped`, in blocks."""
        self.unchanged.check()
        change, value = self._change(gradient), repeat_heads(widen(self._value), self.shape[1]).mT
        total, space = value.new_zeros(self.shape[0], self.shape[1], 1, self.shape[3]), value.new_empty(0)
        row = row.to(total.dtype)
        for images, rows, columns in _cut_blocks(self.shape):
            slope, space = _multiply(widen(_cut(change, images, rows)), _cut(value, images, columns, 3), space)
            slope.clamp_(min=0)
            if self.bias is not None or self.causal:
                seen = self._mask(torch.zeros_like(slope), images, rows, columns)
                slope.masked_fill_(seen == -math.inf, 0)
            _add_rows(_cut(total, images, columns, 3), _cut(row, images, rows, 1), slope)
        return total.mean((1, 2))

    def find_read(self, gradient: Tensor) -> Tensor:
        """As in `Sloped`."""
        return self._change(gradient).ne(0).any(-1).any(1)

    def value_norms(self) -> Tensor:
        """As in `Sloped`."""
        return repeat_heads(widen(self._value).norm(dim=-1), self.shape[1])

    def _change(self, gradient: Tensor) -> Tensor:
        """dL/dO of each head, where the weights are those that were used."""
        if self.dropout > 0:
            raise JumokError(
                f"relevance needs the weights that were used, and dropout {self.dropout} hid some: call model.eval()"
            )
        return self.arrange(gradient) if self.arrange else gradient.reshape(*self.query.shape[:3], -1)

    def _take_images(self, images: slice) -> DotProduct:
        """The call as it would have been for a part of the batch."""
        if images == ALL:
            return self
        bias = None if self.bias is None else self.bias.expand(self.shape)[images]
        known = None if self.log_sum_exp is None else self.log_sum_exp[images]
        part = (self.query[images], self.key[images], None if self.value is None else self.value[images])
        return replace(self, query=part[0], key=part[1], value=part[2], bias=bias, log_sum_exp=known, output=None)

    @cached_property
    def _keys(self) -> Tensor:
        return repeat_heads(widen(self.key), self.query.shape[1])

    def _normaliser(self, places: Tensor | None) -> Tensor:
        """(batch, heads, places): log sum exp of the scores of some rows, or of all."""
        if self.log_sum_exp is not None:
            return _take_rows(self.log_sum_exp, places)
        batch, heads, queries, keys = self.shape
        step = max(1, BLOCK_VALUES // (batch * heads * keys))
        parts = []
        for rows in (torch.arange(queries, device=self.device) if places is None else places).split(step):
            scores = (widen(self.query[:, :, rows]) * self.scale) @ self._keys.transpose(-1, -2)
            parts.append(self._mask(scores, slice(None), rows, slice(0, keys)).logsumexp(-1))
        return torch.cat(parts, -1).nan_to_num(neginf=LOG_SUM_EXP_OF_NOTHING)

    def _pull(self, row: Tensor, gradient: Tensor | None) -> Tensor:
        """Sum the products of a row with blocks of weights."""
        self.unchanged.check()
        # A row of zeros adds nothing: the last layer needs one row only.
        places = None if int(row.count_nonzero()) == row.numel() else row.any(0).nonzero()[:, 0]
        _, heads, _, keys = self.shape
        total = self._keys.new_zeros(len(row), heads, 1, keys)
        row = _take_rows(row, places, 1).to(total.dtype)
        for images, rows, columns, block in self._blocks_of_weights(places, gradient):
            _add_rows(_cut(total, images, columns, 3), _cut(row, images, rows, 1), block)
        return total.mean((1, 2))  # of the heads, of which each has one row

    def _blocks_of_weights(
        self, places: Tensor | None, gradient: Tensor | None
    ) -> Iterator[tuple[slice, slice, slice, Tensor]]:
        """Blocks of exp(scores - log_sum_exp) of some queries, or of all, times (dL/dA)+ where a gradient is given.

        Yields:
            Which images, which of the `places` and which keys, and (images, heads, places, keys), good until the next.
        """
        # The product starts from -log_sum_exp, in units of ln 2, since exp2 is several times faster than exp.
        query, key = _lay_out(widen(_take_rows(self.query, places))), _lay_out(self._keys).mT
        start = self._normaliser(places).to(query.dtype).unsqueeze(-1)
        change = None if gradient is None else widen(_take_rows(gradient, places))
        value = None if change is None else repeat_heads(widen(self._value), self.shape[1]).mT
        space, change_space = query.new_empty(0), query.new_empty(0)
        for images, rows, columns in _cut_blocks((*query.shape[:3], self.shape[3])):
            scaled = _cut(start, images, rows), -LOG2_E, self.scale * LOG2_E
            block, space = _multiply(_cut(query, images, rows), _cut(key, images, columns, 3), space, scaled)
            block = self._mask(block, images, rows if places is None else places[rows], columns, LOG2_E).exp2_()
            if change is not None and value is not None:
                sides = _cut(change, images, rows), _cut(value, images, columns, 3)
                slope, change_space = _multiply(*sides, change_space)
                block.mul_(slope.clamp_(min=0))
            yield images, rows, columns, block

    @property
    def _value(self) -> Tensor:
        if self.value is None:
            raise JumokError("no gradient was traced through this attention call: run the model with gradients enabled")
        return self.value

    def _mask(self, scores: Tensor, images: slice, rows: Tensor | slice, columns: slice, unit: float = 1.0) -> Tensor:
        """Apply the part of the bias (in the scores' unit) and of the causal mask that falls on a block, in place."""
        if self.bias is not None:
            bias = self.bias.expand(self.shape)[images, :, :, columns][:, :, rows]
            if bias.dtype == torch.bool:
                scores.masked_fill_(~bias, -math.inf)
            else:
                scores.add_(bias, alpha=unit)
        if self.causal:
            seen = torch.arange(columns.start, columns.stop, device=scores.device)
            here = rows if isinstance(rows, Tensor) else torch.arange(rows.start, rows.stop, device=scores.device)
            scores.masked_fill_(seen > here[:, None], -math.inf)
        return scores


def _take_rows(tensor: Tensor, places: Tensor | None, dim: int = 2) -> Tensor:
    """Some rows of a tensor, or all."""
    return tensor if places is None else tensor.index_select(dim, places)


def _cut(tensor: Tensor, images: slice, part: slice, dim: int = 2) -> Tensor:
    """Some images of a tensor, and a part of another axis; the tensor itself where that is all of it."""
    for axis, some in ((0, images), (dim, part)):
        if some.stop - some.start != tensor.shape[axis]:
            tensor = tensor.narrow(axis, some.start, some.stop - some.start)
    return tensor


def _cut_blocks(shape: tuple[int, int, int, int]) -> Iterator[tuple[slice, slice, slice]]:
    """Cut (batch, queries, keys) so that a block of all heads stays within BLOCK_VALUES."""
    batch, heads, queries, keys = shape
    wide = min(BLOCK_COLUMNS, keys)
    tall = min(max(1, HEAD_VALUES // wide), queries)
    images = max(1, BLOCK_VALUES // (heads * tall * wide))
    for first in range(0, batch, images):
        for left in range(0, keys, wide):
            for top in range(0, queries, tall):
                yield (
                    slice(first, min(first + images, batch)),
                    slice(top, min(top + tall, queries)),
                    slice(left, min(left + wide, keys)),
                )


def _multiply(
    left: Tensor, right: Tensor, space: Tensor, scaled: tuple[Tensor, float, float] | None = None
) -> tuple[Tensor, Tensor]:
    """Multiply left @ right over the two leading axes, written into `space`, which grows once and is handed on.

    Args:
        left, right: (batch, heads, rows, size) and (batch, heads, size, columns).
        space: one-dimensional.
        scaled: (batch, heads, rows, 1) to add to the product, and factors on this and on the product before that.
    """
    batch, heads, rows, columns = *left.shape[:3], right.shape[3]
    size = batch * heads * rows * columns
    if space.numel() < size:
        space = left.new_empty(size)
    out = space.narrow(0, 0, size).view(batch * heads, rows, columns)
    sides = left.flatten(0, 1), right.flatten(0, 1)
    if scaled is None:
        torch.bmm(*sides, out=out)
    else:
        start, share, scale = scaled
        torch.baddbmm(start.flatten(0, 1).expand_as(out), *sides, beta=share, alpha=scale, out=out)
    return out.view(batch, heads, rows, columns), space


def _lay_out(tensor: Tensor) -> Tensor:
    """A tensor whose two leading axes can be taken as one without a copy of each block."""
    return tensor if tensor.shape[0] == 1 else tensor.contiguous()


def _add_rows(total: Tensor, row: Tensor, block: Tensor) -> None:
    """Add to (images, heads, 1, keys) the products of (images, rows) with (images, heads, rows, keys).

    Head by head: one product over all heads' rows takes twice as long.
    """
    images, heads, rows, columns = block.shape
    asking = row.unsqueeze(1).expand(images, heads, rows).reshape(-1, 1, rows)
    total.flatten(0, 1).baddbmm_(asking, block.view(-1, rows, columns))
