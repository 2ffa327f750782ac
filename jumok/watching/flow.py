"""Carry rows of weights from the last of several calls back to the tokens of the input.

Sums of calls made side by side add, tokens that were merged share, windows and shifts put tokens elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from jumok.attention import Axis
from jumok.attention.attended import Attended
from jumok.errors import JumokError
from jumok.watching.calls import Call
from jumok.watching.flow_steps import Step, are_apart
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.origins import Block
from jumok.watching.provenance.residuals import are_passed, are_weighed

MOST_LEFT = 1e-3
"""Share of the weight that may be left behind, at most: more is no rounding."""
Pull = Callable[[int, Tensor], Tensor]
"""What a call makes of a row of its queries: (batch, queries) to (batch, keys), by the number of the call."""


@dataclass(frozen=True)
class Flow:
    """The calls that lead to the last one, and the tokens from the first to the last.

    Args:
        calls: those that lead there, in order.
        queries: the tokens of the last call.
        keys: the tokens of the input.
        unseen: what mixed tokens on the way, unseen.
        averaged: what mixed tokens on the way and is taken as the mean of its window.
        heads: whether the last calls are parts of one, as heads are.
        parts: how many of the last calls make up the last layer, each for other tokens.
    """

    calls: list[Call]
    queries: Axis
    keys: Axis
    _index: Tensor
    _blocks: list[Block]
    _known: Identities
    _starts: list[Tensor]
    _entries: Tensor
    _shares: Tensor
    _touched: Tensor
    _hidden: Tensor
    unseen: tuple[str, ...] = ()
    averaged: tuple[str, ...] = ()
    heads: bool = False
    parts: int = 1
    _worked_out: dict[torch.device, list[Step]] = field(default_factory=dict)

    @property
    def layers(self) -> list[Attended]:
        """The weights of the calls."""
        return [call.attended for call in self.calls]

    @property
    def batch(self) -> int:
        """Images, or sentences."""
        return self._starts[0].shape[0]

    @cached_property
    def _is_beside(self) -> bool:
        """Whether some calls are side by side."""
        return len(self._starts) > 1 or any(block.kind == "joint" for block in self._blocks)

    def check_same_tokens(self, method: str) -> None:
        """Refuse layers that are not all over the tokens of the input.

        Args:
            method: that needs them to be, for the message.
        Raises:
            JumokError: one is over windows, merged tokens or others.
        """
        wanted = self._known.origin(self._entries[..., 0].reshape(-1)).stack()
        for call in self.calls:
            keys = call.tokens.keys
            assert keys is not None
            if keys.numel() != len(wanted) or not torch.equal(self._known.origin(keys.reshape(-1)).stack(), wanted):
                raise JumokError(
                    f"{method} adds layers up that are over the same tokens, and {call.module or 'one'} is over others "
                    "(windows, or merged tokens): use chefer or rollout, which follow them"
                )

    def lay_out(self, rows: Sequence[Tensor]) -> Tensor | None:
        """What is told of the queries of the last calls, told of `queries`, which may lie elsewhere in them.

        Args:
            rows: of each of the last `parts` calls (batch, queries) bool, in its own order.
        Returns:
            (batch, tokens of `queries`) bool; None where the calls' own are not those.
        """
        start, device = self._starts[0], rows[0].device
        states = [call.tokens.states for call in self.calls[-self.parts :]]
        known = [own for own, row in zip(states, rows, strict=True) if own is not None and own.shape == row.shape]
        if len(known) == len(rows) and bool(torch.isin(start, torch.cat([own.reshape(-1) for own in known])).all()):
            told = torch.cat([own[row.cpu()] for own, row in zip(known, rows, strict=True)])
            return torch.isin(start, told).to(device)
        return rows[0] if len(rows) == 1 and rows[0].shape == start.shape else None

    def carry(
        self, start: Tensor, pull: Pull, *, passed: float, attended: float, shared: bool
    ) -> tuple[Tensor, Tensor]:
        """Carry weights of the last call's queries back to the input.

        Args:
            start: (batch, queries).
            pull: what a call makes of a row, by its place among `calls`.
            passed: the share of a token that a residual connection passes, where there is one.
            attended: the share that attention passes beside it; all, where there is none.
            shared: calls side by side share what attention passes, instead of each passing it.
        Returns:
            (batch, keys) of the input, and the share of the weight that went through something unseen.
        Raises:
            JumokError: some of the weight does not reach the tokens of the input, or calls share by what is not known.
        """
        if shared and self._is_weighed:
            raise JumokError(
                "what several calls of attention gave is multiplied by something of its own each and added up, so that "
                "their shares are not known and a rollout would not be true: name one with end=, use seen.relevance, "
                "or read single maps with seen[name]"
            )
        how = {"passed": passed, "attended": attended, "shared": shared}
        row = self._carry_each(start, pull, **how)
        if not self.unseen:
            return row, row.new_zeros(())
        followed = self._carry_each(start, pull, **how, followed=True)
        return row, 1 - followed.sum() / row.sum()

    @cached_property
    def _is_weighed(self) -> bool:
        """Whether calls side by side are added up by weights of their own, as by gates."""
        beside = [] if self.heads or len(self._starts) < 2 else list(self._starts)
        joint = [b.members for b in self._blocks if b.kind == "joint" and b.note != "shared" and b.members is not None]
        parts = [*beside, *(members[(members > 0).sum(1) > 1] for members in joint)]
        return any(bool(are_weighed(self._known, each).any()) for each in parts)

    @cached_property
    def _is_apart(self) -> bool:
        """Whether no two images lead to the same tokens, as of a memory that all look at."""
        if self.batch == 1:
            return True
        steps = self._steps(torch.device("cpu"))
        return are_apart(len(self._index) + 1, steps, self._departures, self._arrivals)

    @cached_property
    def _departures(self) -> list[Tensor]:
        """Places in the row of what each of the last calls gave."""
        return [self._find(states) for states in self._starts]

    @cached_property
    def _arrivals(self) -> Tensor:
        """Places in the row of the tokens of the input."""
        return self._find(self._entries)

    def _carry_each(self, start: Tensor, pull: Pull, **how: Any) -> Tensor:
        """As `_carry_all`; image by image, where several lead to the same tokens."""
        if self._is_apart:
            return self._carry_all(start, pull, **how)
        rows = []
        for image in range(self.batch):
            alone = torch.zeros_like(start)
            alone[image] = start[image]
            rows.append(self._carry_all(alone, pull, **how, image=image)[image])
        return torch.stack(rows)

    def _carry_all(
        self,
        start: Tensor,
        pull: Pull,
        *,
        passed: float,
        attended: float,
        shared: bool,
        followed: bool = False,
        image: int | None = None,
    ) -> Tensor:
        """As `carry`, of tokens that are each of one image; `followed`: but for what goes through something unseen."""
        size = len(self._index) + 1  # the last one takes what leads nowhere
        row = torch.zeros(size, dtype=start.dtype, device=start.device)
        alone = torch.zeros_like(row)  # passes by attention only, as of calls side by side
        self._begin(row, alone, start, passed, attended / (len(self._starts) if shared or self.heads else 1))
        for step in self._steps(start.device):
            whole = row.index_select(0, step.here)
            row.index_fill_(0, step.here, 0)
            if step.place is not None:
                self._carry_through(step, row, alone, whole, pull, passed=passed, attended=attended)
            elif step.kind == "unseen":
                if not followed:
                    row.index_add_(0, step.base, whole)
            else:
                joint = step.kind == "joint"
                gone = whole * step.choose(attended, 1.0, whole) if joint else whole
                share = gone[:, None] * step.members.ne(size - 1).to(whole)
                share = share / step.count if shared or step.shared or not joint else share
                (alone if joint else row).index_add_(0, step.members.reshape(-1), share.reshape(-1))
                if joint:
                    row.index_add_(0, step.base, whole * step.choose(passed, 0.0, whole))
        return self._arrive(row, alone, start, followed=followed, image=image)

    def _carry_through(
        self, step: Step, row: Tensor, alone: Tensor, whole: Tensor, pull: Pull, *, passed: float, attended: float
    ) -> None:
        """Carry weights of a call's outputs to its keys, and past it."""
        assert step.place is not None
        given, kept = step.choose(attended, 1.0, whole), step.choose(passed, 0.0, whole)
        looking = whole * given
        row.index_add_(0, step.base, looking if isinstance(given, float) and kept == given else whole * kept)
        if self._is_beside:
            looking = looking + alone.index_select(0, step.here)
            alone.index_fill_(0, step.here, 0)
        if int(looking.count_nonzero()):
            size = math.prod(step.shape)
            asked = looking if step.of_all else looking.new_zeros(size).index_copy_(0, step.inside, looking)
            row.index_add_(0, step.keys, pull(step.place, asked.view(step.shape)).reshape(-1).to(row))

    def _arrive(self, row: Tensor, alone: Tensor, start: Tensor, *, followed: bool, image: int | None) -> Tensor:
        """What the tokens of the input have got, if nearly everything came there."""
        where = self._arrivals.to(row.device)
        arrived = torch.zeros_like(row, dtype=torch.bool)
        arrived[where.reshape(-1) if image is None else where[image].reshape(-1)] = True
        arrived[-1] = False
        left = float(row[~arrived].abs().sum() + alone.abs().sum()) / max(float(start.abs().sum()), 1e-12)
        if left > MOST_LEFT:
            raise JumokError(
                f"{left:.1%} of the weight does not reach the tokens that these calls begin with, so the map would not "
                "be true: choose a part with seen.only(prefix), or read single maps with seen[name]"
            )
        row[-1] = 0
        if followed:
            row[self._find(self._hidden).to(row.device)] = 0
        return (row[where] * self._shares.to(row)).sum(-1)

    def _begin(self, row: Tensor, alone: Tensor, start: Tensor, passed: float, attended: float) -> None:
        """Put the start onto the last call's outputs; of several side by side, onto what each adds to the token."""
        if len(self._starts) == 1:
            row.index_add_(0, self._departures[0].reshape(-1).to(row.device), start.reshape(-1))
            return
        past = are_passed(self._known, self._starts[0].reshape(-1)).to(row.device)
        base = self._find(self._known.base(self._starts[0]).reshape(-1)).to(row.device)
        row.index_add_(0, base, start.reshape(-1) * passed * past)
        for places in self._departures:
            alone.index_add_(0, places.reshape(-1).to(row.device), start.reshape(-1) * attended)

    def _steps(self, device: torch.device) -> list[Step]:
        """What is to be done, from the last call to the first; worked out once."""
        if device not in self._worked_out:
            places = {call.number: place for place, call in enumerate(self.calls)}
            found = (self._plan(block, places.get(block.call)) for block in reversed(self._blocks))
            self._worked_out[device] = [step.to(device) for step in found if step is not None]
        return self._worked_out[device]

    def _plan(self, block: Block, place: int | None) -> Step | None:
        """What is to be done for the tokens of one block; None for nothing."""
        numbers = torch.arange(block.start, block.start + block.count)
        here = self._find(numbers)
        inside = ((here < len(self._index)) & self._touched[block.start : block.start + block.count]).nonzero()[:, 0]
        if not len(inside) or (block.kind == "attended" and place is None):
            return None
        nothing, past = torch.zeros(0, dtype=torch.int64), are_passed(self._known, numbers[inside])
        base = self._find(self._known.base(numbers[inside]))
        members = nothing if block.members is None else self._find(block.members[inside])
        count = members.ne(len(self._index)).sum(-1, keepdim=True) if members.dim() == 2 else nothing
        if block.kind != "attended" or place is None:
            heads = block.note == "shared"
            return Step(block.kind, None, here[inside], inside, base, members, count, (), nothing, past, heads)
        tokens = self.calls[place].tokens
        assert tokens.keys is not None
        assert tokens.states is not None
        keys, past = self._find(tokens.keys.reshape(-1)), past & (not tokens.is_pooling)
        return Step(
            "attended", place, here[inside], inside, base, nothing, nothing, tuple(tokens.states.shape), keys, past
        )

    def _find(self, ids: Tensor) -> Tensor:
        """Places of identities in the row; the one behind the last for those that are in none."""
        place = torch.searchsorted(self._index, ids.contiguous()).clamp(max=len(self._index) - 1)
        return torch.where((self._index[place] == ids) & (ids > 0), place, len(self._index))
