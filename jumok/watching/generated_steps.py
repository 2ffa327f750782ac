"""Join the steps of a decoder-only model into one map: each generated token by all tokens before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from jumok.errors import JumokError
from jumok.watching.calls import Call, Fed
from jumok.watching.decoder_steps import (
    Filling,
    Missing,
    Step,
    explain_no_decoder,
    explain_not_found,
    find_rows,
    looks_at_itself,
    split_generations,
    took_several,
)


def join_generated(
    calls: Sequence[Call], fed: Sequence[Fed], output: Tensor, filling: Filling
) -> tuple[Tensor, int, Tensor | None]:
    """Attention of a decoder to its own sequence, of the steps that produced each token.

    Args:
        calls, fed, filling: as for `join`.
        output: (outputs, tokens) of ids, the prompt first.
    Returns:
        weights: (outputs, layers, heads, tokens after the prompt, tokens); zeros where an output has ended.
        prompt: how many tokens the prompt has.
        keys: (outputs, tokens) identities of what the last step looked at; None where they are not known.
    Raises:
        JumokError: as `join`, or the steps did not keep all that came before.
    """
    found, best = False, Missing(0, 0)
    for generation, padding in split_generations(calls, fed):
        lengths = (filling if filling.padding is not None else replace(filling, padding=padding)).lengths(output)
        rows = find_rows(generation, output, lengths, 1)
        if isinstance(rows, list) and rows:
            steps = generation[: len(rows)]
            weights, held = _join_own(steps, rows, output, lengths)
            return weights, steps[0].prefix.shape[1], held
        found = True
        best = best if isinstance(rows, list) else max(best, rows, key=lambda missing: missing.shared)
    if not found:
        raise explain_no_decoder(len(output), bool(fed))
    raise explain_not_found(output, best, several=took_several(calls, fed))


def _join_own(
    steps: Sequence[Step], rows: Sequence[Tensor], output: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor | None]:
    """(outputs, layers, heads, tokens after the prompt, tokens), and identities of all that the last step looked at."""
    prompt, length = steps[0].prefix.shape[1], output.shape[1]
    own = [number for number, call in enumerate(steps[0].calls) if looks_at_itself(call)]
    joined = [_join_own_layer(steps, rows, number, length) for number in own]
    layers = [weights for weights, _ in joined]
    if not layers or len({layer.shape for layer in layers}) > 1:
        raise JumokError("the decoder's layers do not all look at its own sequence with as many heads")
    weights = torch.stack(layers, 1)
    weights = torch.nn.functional.pad(weights, (0, 0, 0, length - prompt - weights.shape[3]))
    ended = torch.arange(prompt, length, device=weights.device) >= lengths[:, None].to(weights.device)
    held = next((tokens for _, tokens in joined if tokens is not None), None)
    return weights.masked_fill_(ended[:, None, None, :, None], 0.0), held


def _join_own_layer(
    steps: Sequence[Step], rows: Sequence[Tensor], number: int, length: int
) -> tuple[Tensor, Tensor | None]:
    """(outputs, heads, tokens after the prompt, tokens), and (outputs, tokens) identities of all that it looked at."""
    parts: list[Tensor] = []
    held: Tensor | None = None
    for step, chosen in zip(steps, rows, strict=True):
        total, call = step.prefix.shape[1], step.calls[number]
        weights = call.attended.weights([total - 1 - step.first])[chosen]
        keys = None if call.tokens.keys is None else call.tokens.keys[chosen.cpu()]
        if bool(weights[..., total:].any()):  # else it is room of a cache that is not filled yet
            raise JumokError(
                f"{steps[0].modules[number]} looked at more than the {total} tokens whose ids were seen by then, for "
                "its prompt was given as embeddings or stood in a cache before: run generate() in the `with` block "
                "with the ids of the whole prompt, or read single maps with seen[name]"
            )
        if weights.shape[3] >= total:
            held = None if keys is None or keys.shape[1] < total else keys[:, :total]
            weights = weights[..., :length]
        else:
            held = _slide(held, keys, total)
            if held is None:
                raise JumokError(
                    f"{steps[0].modules[number]} kept {weights.shape[3]} of the {total} tokens before a step (a "
                    "sliding window?), so its steps do not fit one map: read single maps with seen[name]"
                )
            weights = torch.nn.functional.pad(weights, (total - weights.shape[3], 0))[..., :length]
        parts.append(torch.nn.functional.pad(weights, (0, length - weights.shape[3])))
    return torch.cat(parts, 2)[:, :, : length - steps[0].prefix.shape[1]], held


def _slide(held: Tensor | None, keys: Tensor | None, total: int) -> Tensor | None:
    """All tokens so far, of a step that kept the last of them; None where these are not known to be the last."""
    if held is None or keys is None or held.shape[1] != total - 1:
        return None
    kept = keys.shape[1] - 1
    return torch.cat([held, keys[:, -1:]], 1) if torch.equal(keys[:, :-1], held[:, total - 1 - kept :]) else None
