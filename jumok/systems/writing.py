"""What a sequence system remembers between two steps of writing a sentence, and checks of the ids it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from jumok.errors import JumokError
from jumok.special_tokens import PAD

__all__ = ["State", "check_ids", "check_step", "mask_real"]


@dataclass(frozen=True)
class State:
    """Several sentences in the middle of being written, each with several hypotheses (beams).

    Args:
        memory: tensors (sentences, ...), the same for all hypotheses of a sentence; never copied per hypothesis.
        carried: tensors (sentences, beams, ...), each hypothesis' own.
        length: how many tokens each hypothesis has been fed.
    """

    memory: Mapping[str, Tensor]
    carried: Mapping[str, Tensor]
    length: int = 0

    def keep(self, sentences: Tensor) -> State:
        """Drop the other sentences.

        Args:
            sentences: (kept,) int64, numbers of those that stay, in their new order.
        """
        return replace(
            self,
            memory={name: tensor.index_select(0, sentences) for name, tensor in self.memory.items()},
            carried={name: tensor.index_select(0, sentences) for name, tensor in self.carried.items()},
        )

    def follow(self, parents: Tensor) -> State:
        """Let each hypothesis go on from another one of its sentence.

        Args:
            parents: (sentences, new beams) int64: whom each hypothesis goes on from; there may be more or fewer of them
                than before.
        """
        return replace(self, carried={name: _follow_parents(tensor, parents) for name, tensor in self.carried.items()})


def _follow_parents(tensor: Tensor, parents: Tensor) -> Tensor:
    sentences, beams = tensor.shape[:2]
    first = torch.arange(sentences, device=parents.device)[:, None] * beams
    chosen = tensor.reshape(sentences * beams, *tensor.shape[2:]).index_select(0, (first + parents).flatten())
    return chosen.view(*parents.shape, *tensor.shape[2:])


def mask_real(source: Tensor) -> Tensor:
    """Which tokens are not padding, (batch, tokens) bool.

    Raises:
        JumokError: padding stands before a token, or a sentence has no token at all.
    """
    mask = source != PAD
    if torch.compiler.is_exporting():  # values are not there yet
        return mask
    if not bool(mask[:, 0].all()) or bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        raise JumokError(
            "each source sentence is tokens and </s>, then padding (id 0) on the right only: got another order"
        )
    return mask


def check_ids(name: str, ids: Tensor, vocabulary: int, batch: int | None = None) -> None:
    """Refuse what is not a batch of sentences of ids.

    Raises:
        JumokError: another number of axes, type or batch, no token, or ids outside the vocabulary.
    """
    fits = ids.dim() == 2 and ids.shape[1] > 0 and (batch is None or ids.shape[0] == batch)
    if not fits or ids.dtype != torch.int64:
        wanted = f"({'batch' if batch is None else batch}, tokens) int64"
        raise JumokError(
            f"{name} has shape {tuple(ids.shape)} and {ids.dtype}, wanted {wanted} with at least one token"
        )
    if torch.compiler.is_exporting():  # values are not there yet
        return
    if not len(ids):
        raise JumokError(f"{name} has no sentence: shape {tuple(ids.shape)}, wanted (batch, tokens)")
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocabulary:
        wrong = low if low < 0 else high
        raise JumokError(f"{name} holds id {wrong}, wanted ids from 0 to {vocabulary - 1} of its vocabulary")


def check_step(tokens: Tensor, state: State) -> None:
    """Refuse tokens that are not one per hypothesis.

    Raises:
        JumokError: another shape or type.
    """
    if torch.compiler.is_exporting():  # sizes are open
        return
    wanted = tuple(next(iter(state.carried.values())).shape[:2])
    if tuple(tokens.shape) != wanted or tokens.dtype != torch.int64:
        raise JumokError(
            f"tokens have shape {tuple(tokens.shape)} and {tokens.dtype}, wanted (sentences, beams) = {wanted} int64"
        )
