"""Identities of tokens: what each stands for in the input, and which earlier tokens it was made from.

0: a constant. From `LEAF` on: an element of an input, its place found by arithmetic. Below: a row of a table, in blocks
of one kind. A row's origin is a cell of its input, (t, y, x) ranges with a count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from jumok.watching.provenance.origins import CONSTANT, IMAGE, LEAF, SERIES, TEXT, Block, Origin, Sampling, Source

MOST_STEPS = 512
"""Residual connections that are followed back, at most."""


@dataclass
class Identities:
    """The table."""

    sources: list[Source] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    averaged: list[tuple[Tensor, str]] = field(default_factory=list)
    """Tokens that stand for the mean of others, how much each gave not being known, and what made them."""
    waiting: list[tuple[Tensor, Tensor, Tensor, str]] = field(default_factory=list)
    """What convolutions made unseen, of which tokens, with those around each, and which it was."""
    pictures: dict[int, Any] = field(default_factory=dict)
    """Where the elements of inputs that images were made into lie (`pictures.Picture`), by the input's number."""
    spreads: list[tuple[Tensor, str]] = field(default_factory=list)
    """What several things were made of, each by weights that are not seen, and what made them."""
    parted: dict[tuple[int, str], int] = field(default_factory=dict)
    """Those that turned out to be tokens, as unseen."""
    passed: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    """What attention made that a residual connection leads past."""
    heads: list[Tensor] = field(default_factory=list)
    """What calls made that was put beside one another as features of tokens: of each call, one token."""
    flows: dict[Any, Any] = field(default_factory=dict)
    """What was worked out from the table: how calls lead to one another."""
    weighed: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    """What attention made that a gate was multiplied by."""
    _rows: list[Tensor] = field(default_factory=list)
    _bases: list[Tensor] = field(default_factory=list)
    _next: int = 1
    _cells: dict[bytes, int] = field(default_factory=dict)
    _merged: dict[bytes, int] = field(default_factory=dict)
    _noted: dict[tuple[str, str], int] = field(default_factory=dict)
    _of_kind: dict[str, Tensor] = field(default_factory=dict)
    _gathered: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    _table: Tensor | None = None
    _base_table: Tensor | None = None

    # -- what is new ----------------------------------------------------------------------------

    def add_source(self, kind: str, dims: tuple[int, int, int, int], why: str = "") -> Tensor:
        """A new input. Returns the identities of its elements, (items, t, y, x)."""
        self.sources.append(Source(kind, dims, why))
        count = math.prod(dims)
        return (torch.arange(count) + len(self.sources) * LEAF).view(dims)

    def learn(self, name: str, shape: Sequence[int]) -> Tensor:
        """The rows of a parameter."""
        rows = math.prod(shape)
        start = self._append(
            "learnt", self._constant_origins(rows, -1), torch.zeros(rows, dtype=torch.int64), note=name
        )
        return torch.arange(start, start + rows).view(tuple(shape))

    def attend(self, call: int, queries: Tensor) -> Tensor:
        """Outputs of a call, one for each query given: they stand where their queries do."""
        flat = queries.reshape(-1)
        start = self._append("attended", self.origin(flat).stack(), flat, call=call, each=queries.shape[-1])
        return torch.arange(start, start + len(flat)).view(queries.shape)

    def unsee(self, tokens: Tensor, why: str) -> Tensor:
        """Tokens that were mixed with others in a way that cannot be followed; constants stay what they are."""
        unique, inverse = tokens.unique(return_inverse=True)
        start = self._append("unseen", self.origin(unique).stack(), unique, note=why)
        fresh = torch.arange(start, start + len(unique))
        return torch.where(unique == CONSTANT, unique, fresh)[inverse]

    def smooth(self, tokens: Tensor, members: Tensor) -> Tensor:
        """Tokens that were each made from a window around them: (count,) and (count, most) to (count,)."""
        start = self._append("window", self.origin(tokens).stack(), tokens, members=members)
        return torch.arange(start, start + len(tokens))

    def is_smoothed(self, identities: Tensor) -> Tensor:
        """Whether each was made from a window around a token."""
        return self._is_kind(identities, "window")

    def lose(self, why: str) -> int:
        """One identity for all that is lost for the same reason."""
        known = self._noted.get(("lost", why))
        if known is None:
            zero = torch.zeros(1, dtype=torch.int64)
            known = self._noted["lost", why] = self._append("lost", self._constant_origins(1, -3), zero, note=why)
        return known

    def sample(self, sampling: Sampling, why: str) -> Tensor:
        """What lies at places between tokens: lost, but for attention over such places. Returns (slices, places)."""
        slices, count = sampling.grid.shape[0], math.prod(sampling.grid.shape[1:-1])
        rows = self._constant_origins(1, -3).expand(slices * count, -1)
        start = self._append("lost", rows, torch.zeros(len(rows), dtype=torch.int64), note=why, sampled=sampling)
        return torch.arange(start, start + len(rows)).view(slices, count)

    def merge(self, rows: Tensor) -> Tensor:
        """One identity for each row of several: (count, members) to (count,). Constants do not count.

        Parts of an input that no attention has seen give the cell around them; other tokens a merged one.
        """
        first = rows.max(1).values
        if bool(((rows == first[:, None]) | (rows == CONSTANT)).all()):
            return first
        unique, inverse = rows.sort(1).values.unique(dim=0, return_inverse=True)
        doubled = torch.zeros_like(unique, dtype=torch.bool)
        doubled[:, 1:] = unique[:, 1:] == unique[:, :-1]
        unique = unique.masked_fill(doubled, CONSTANT).sort(1).values
        learnt = self._is_kind(unique, "learnt") & (unique > 0)
        others = ((unique > 0) & ~learnt).any(1, keepdim=True)
        unique = torch.where(learnt & others, CONSTANT, unique).sort(1).values
        several = (unique > 0).sum(1) > 1
        made = unique[:, -1].clone()
        if bool(several.any()):
            made[several] = self._merge_unique(unique[several])
        return made[inverse]

    def put(self, merged: Tensor, places: Tensor) -> Tensor:
        """Merged tokens where other tokens lie, (count,) each; what is no merged one stays where it is."""
        rows = torch.cat([merged[:, None], self.origin(places).stack()], 1)
        unique, inverse = rows.unique(dim=0, return_inverse=True)
        made: Tensor = unique[:, 0].clone()
        for block in self.blocks[:]:
            inside = (made >= block.start) & (made < block.start + block.count)
            if block.kind == "merged" and block.members is not None and bool(inside.any()):
                made[inside] = self._merge_states(block.members[made[inside] - block.start], unique[inside, 1:])
        found: Tensor = made[inverse]
        return found

    def join(self, members: Tensor, base: Tensor, *, shared: bool = False) -> Tensor:
        """Attended rows that were all added to the same token: (count, most) to (count,).

        Args:
            members, base: the rows, and the token.
            shared: they are parts of one, as heads are.
        """
        start = self._append("joint", self.origin(base).stack(), base, members=members, note="shared" if shared else "")
        return torch.arange(start, start + len(base))

    def gather(self, cells: Tensor) -> None:
        """Note that these were made from several parts of an input by a product or a sum."""
        fresh = cells[self._is_kind(cells, "cell")]
        if len(fresh):
            self._gathered = torch.cat([self._gathered, fresh]).unique()

    def is_gathered(self, identities: Tensor) -> Tensor:
        """Whether each was noted by `gather`."""
        return torch.isin(identities, self._gathered)

    def is_joint(self, identities: Tensor) -> Tensor:
        """Whether each was made by several calls of attention beside one another."""
        return self._is_kind(identities, "joint")

    def is_measured(self, sources: Tensor) -> Tensor:
        """Whether inputs hold numbers of images or sound, not tokens."""
        kinds = torch.tensor([source.kind in (IMAGE, SERIES) for source in self.sources] or [False])
        return kinds[sources.clamp(min=0)] & (sources >= 0)

    def is_text(self, sources: Tensor) -> Tensor:
        """Whether inputs hold ids of words."""
        kinds = torch.tensor([source.kind == TEXT for source in self.sources] or [False])
        return kinds[sources.clamp(min=0)] & (sources >= 0)

    def cells(self, source: Tensor, item: Tensor, low: Tensor, high: Tensor, size: Tensor) -> Tensor:
        """Cells of inputs, each known again when it is asked for a second time."""
        rows = torch.cat([source[:, None], item[:, None], low, high, size[:, None]], 1)
        unique, inverse = rows.unique(dim=0, return_inverse=True)
        known = self._cells
        keys = [row.tobytes() for row in unique.numpy()]
        fresh = [number for number, key in enumerate(keys) if key not in known]
        if fresh:
            start = self._append("cell", unique[fresh], torch.zeros(len(fresh), dtype=torch.int64))
            known.update((keys[number], start + place) for place, number in enumerate(fresh))
        return torch.tensor([known[key] for key in keys])[inverse]

    def _merge_unique(self, unique: Tensor) -> Tensor:
        """Rows of several that differ."""
        made = torch.empty(len(unique), dtype=torch.int64)
        same = self._same_place(unique)
        if bool(same.any()):
            made[same] = unique.masked_fill(unique == CONSTANT, torch.iinfo(torch.int64).max).amin(1)[same]
            if bool((~same).any()):
                made[~same] = self._merge_unique(unique[~same])
            return made
        early = (self.is_input(unique) | (unique == CONSTANT)).all(1)
        origin = self._union(unique)
        early &= origin.source >= 0
        if bool(early.any()):
            made[early] = self.cells(
                origin.source[early], origin.item[early], origin.low[early], origin.high[early], origin.size[early]
            )
        if bool((~early).any()):
            made[~early] = self._merge_states(unique[~early], origin.stack()[~early])
        return made

    def _same_place(self, rows: Tensor) -> Tensor:
        """Whether each row's tokens are the same word of one text, looked up in several tables, as hashes of it are."""
        origin = self.origin(rows.reshape(-1))
        text = self.is_text(origin.source).view(rows.shape)
        there = rows != CONSTANT
        found = ((text & self.is_input(rows)) | ~there).all(1)
        for column in (origin.item, origin.low[:, 0], origin.high[:, 0]):
            values = column.view(rows.shape)
            largest = values.masked_fill(~there, -1).amax(1, keepdim=True)
            found &= ((values == largest) | ~there).all(1)
        return found

    def _merge_states(self, unique: Tensor, origins: Tensor) -> Tensor:
        width = int((unique > 0).sum(1).max())
        members = unique[:, -width:]
        keys = [row.tobytes() for row in torch.cat([members, origins], 1).numpy()]
        fresh = [number for number, key in enumerate(keys) if key not in self._merged]
        if fresh:
            base = torch.zeros(len(fresh), dtype=torch.int64)
            start = self._append("merged", origins[fresh], base, members=members[fresh])
            self._merged.update((keys[number], start + place) for place, number in enumerate(fresh))
        return torch.tensor([self._merged[key] for key in keys])

    def _union(self, rows: Tensor) -> Origin:
        """The cell around each row of several."""
        count, width = rows.shape
        origin = self.origin(rows.reshape(-1))
        there = (rows > 0) & ((origin.source >= 0) | (origin.source == -2) | (origin.source == -3)).view(count, width)
        source = origin.source.view(count, width)
        item = origin.item.view(count, width)
        low, high = origin.low.view(count, width, 3), origin.high.view(count, width, 3)
        far = torch.iinfo(torch.int64).max

        def agree(values: Tensor, several: int) -> Tensor:
            smallest = values.masked_fill(~there, far).amin(1)
            largest = values.masked_fill(~there, -far).amax(1)
            return torch.where(smallest == largest, smallest, several)

        none = ~there.any(1)
        found_source = agree(source, -2).masked_fill(none, -1)
        lost = ((source == -3) & there).any(1)
        bottom = low.masked_fill(~there[..., None], far).amin(1).masked_fill(none[:, None], 0)
        top = high.masked_fill(~there[..., None], 0).amax(1)
        size = origin.size.view(count, width).masked_fill(~there, 0).sum(1)
        once = torch.minimum(size, (top - bottom).clamp(min=0).prod(1))  # what overlaps is counted once
        size = torch.where((found_source >= 0) & ~lost, once, size)
        return Origin(found_source.masked_fill(lost, -3), agree(item, -1).masked_fill(none, -1), bottom, top, size)

    def _append(self, kind: str, origins: Tensor, base: Tensor, **more: Any) -> int:
        start = self._next
        self.blocks.append(Block(kind, start, len(origins), **more))
        self._rows.append(origins)
        self._bases.append(base)
        self._next += len(origins)
        self._table = self._base_table = None
        return start

    def _constant_origins(self, count: int, source: int) -> Tensor:
        rows = torch.zeros(count, 9, dtype=torch.int64)
        rows[:, 0], rows[:, 1] = source, -1
        return rows

    # -- what is known --------------------------------------------------------------------------

    def origin(self, identities: Tensor) -> Origin:
        """Where identities (flat) lie."""
        rows = self._all_rows[identities.clamp(max=len(self._all_rows) - 1)]
        leaf = identities >= LEAF
        if bool(leaf.any()):
            rows[leaf] = self._locate(identities[leaf])
        return Origin.of(rows)

    def _locate(self, elements: Tensor) -> Tensor:
        rows = torch.empty(len(elements), 9, dtype=torch.int64)
        source, place = elements // LEAF - 1, elements % LEAF
        dims = torch.tensor([each.dims for each in self.sources])[source]
        rows[:, 0], rows[:, 8] = source, 1
        for axis, column in ((3, 4), (2, 3), (1, 2)):
            rows[:, column] = place % dims[:, axis]
            place = place // dims[:, axis]
        rows[:, 1] = place
        rows[:, 5:8] = rows[:, 2:5] + 1
        return rows

    def base(self, identities: Tensor) -> Tensor:
        """The token around which an attended (joint, unseen) one was made; 0 where there is none."""
        table = self._all_bases
        return torch.where(identities < len(table), table[identities.clamp(max=len(table) - 1)], CONSTANT)

    def members(self, identities: Tensor) -> Tensor:
        """All that merged ones were made of."""
        found = [torch.zeros(0, dtype=torch.int64)]
        for block in self.blocks:
            inside = (identities >= block.start) & (identities < block.start + block.count)
            if block.members is not None and bool(inside.any()):
                found.append(block.members[identities[inside] - block.start].reshape(-1))
        return torch.cat(found)

    def holds(self, merged: Tensor, tokens: Tensor) -> Tensor:
        """Whether each merged identity was made of the token beside it, among others."""
        found = torch.zeros(len(merged), dtype=torch.bool)
        for block in self.blocks:
            inside = (merged >= block.start) & (merged < block.start + block.count)
            if block.kind == "merged" and block.members is not None and bool(inside.any()):
                members = block.members[merged[inside] - block.start]
                found[inside] = (members == tokens[inside, None]).any(1)
        return found

    def are_of(self, identities: Tensor, call: int) -> Tensor:
        """Whether each is an output of a call."""
        found = torch.zeros(identities.shape, dtype=torch.bool)
        for block in self.blocks:
            if block.kind == "attended" and block.call == call:
                found |= (identities >= block.start) & (identities < block.start + block.count)
        return found

    def descends(self, identities: Tensor, ancestors: Tensor) -> Tensor:
        """Whether each is what residual connections made of the other."""
        found = identities == ancestors
        current = identities
        for _ in range(MOST_STEPS):
            current = self.base(current)
            found |= (current == ancestors) & (current > 0)
            if not bool((current > 0).any()):
                break
        return found

    def is_input(self, identities: Tensor) -> Tensor:
        """Whether each is a part of an input that no attention has seen."""
        return (identities >= LEAF) | self._is_kind(identities, "cell")

    def is_attended(self, identities: Tensor) -> Tensor:
        """Whether each was made by attention, by one call or by several beside one another."""
        return self._is_kind(identities, "attended") | self._is_kind(identities, "joint")

    def is_weak(self, identities: Tensor) -> Tensor:
        """Whether each gives way to anything else: a constant, or a learnt token."""
        return (identities == CONSTANT) | self._is_kind(identities, "learnt")

    def is_lost(self, identities: Tensor) -> Tensor:
        """Whether each is lost."""
        return self._is_kind(identities, "lost")

    def is_unseen(self, identities: Tensor) -> Tensor:
        """Whether each is a token that was mixed in a way that cannot be followed."""
        return self._is_kind(identities, "unseen")

    def _is_kind(self, identities: Tensor, kind: str) -> Tensor:
        table = self._kinds(kind)
        return (identities < LEAF) & table[identities.clamp(max=len(table) - 1)]

    def _kinds(self, kind: str) -> Tensor:
        known = self._of_kind.get(kind)
        if known is None or len(known) != self._next:
            known = self._of_kind[kind] = torch.zeros(self._next, dtype=torch.bool)
            for block in self.blocks:
                if block.kind == kind:
                    known[block.start : block.start + block.count] = True
        return known

    def notes(self, identities: Tensor, kind: str) -> list[str]:
        """What was noted of those of a kind, each once."""
        numbers = identities.unique().tolist()
        found = [
            b.note for b in self.blocks if b.kind == kind and any(b.start <= n < b.start + b.count for n in numbers)
        ]
        return list(dict.fromkeys(found))

    @property
    def _all_rows(self) -> Tensor:
        if self._table is None:
            self._table = torch.cat([self._constant_origins(1, -1), *self._rows])
            self._rows = [self._table[1:]]
        return self._table

    @property
    def _all_bases(self) -> Tensor:
        if self._base_table is None:
            self._base_table = torch.cat([torch.zeros(1, dtype=torch.int64), *self._bases])
            self._bases = [self._base_table[1:]]
        return self._base_table
