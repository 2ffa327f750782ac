"""Judge what `jumok.watch` shows of one model: its weights, its axes and its rollout."""

from __future__ import annotations

import contextlib
import copy
import itertools
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import jumok
from jumok.attention import AttentionMap, Channels, Patches, Pixels, Regions, Scale, Tokens
from jumok.errors import JumokError
from jumok.watching.seen import Seen
from reproduce.zoo_models import Subject
from reproduce.zoo_places import check_places, find_own, tell_axis
from reproduce.zoo_references import (
    NEAR,
    NEAR_ENOUGH,
    Direct,
    Given,
    Sampled,
    are_rows_of,
    are_weights,
    dense_rollout,
    farthest,
    find_unmatched,
    make_eager,
    match,
    own_attentions,
    run,
    tensors,
)

IMAGE_AXES = (Patches, Regions, Pixels)
LONGEST = 200
OTHER_SOFTMAXES = {
    "patchtsmixer": "they go over the features of a token, which are multiplied by them",
    "resnest26d": "they go over the branches of a block, for each channel",
    "skresnet18": "they go over the branches of a block, for each channel",
    "skresnext50_32x4d": "they go over the branches of a block, for each channel",
    "superpoint": "they go over the pixels of a cell and one for none, to find key points",
    "swiftformer": "they go over one number each and give 1",
}
"""What was found by reading the code of models whose softmaxes weigh no tokens."""


@dataclass
class Verdict:
    """What was found of one architecture.

    Args:
        calls: attention calls that were seen, gates left aside.
        gates: gates over channels that were seen.
        softmaxes, fused: how often the model called softmax on three axes or more, and PyTorch's attention functions.
        references, matched: weights that the model itself forms, and those of them that equal a map.
        wrong: what must not be; empty for a model that is shown truly.
        refused: calls of which nothing is shown, with the reason.
        partial: tokens that are only numbered, and methods that are refused, with the reason.
        notes: what else helps to read the result.
        rollout: given (and how far from the dense product), or refused and why.
        axes: of the first maps.
        short: whether rows of some map sum to less than 1, as with an attention sink.
    """

    calls: int = 0
    gates: int = 0
    softmaxes: int = 0
    fused: int = 0
    references: int = 0
    matched: int = 0
    wrong: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rollout: str = ""
    axes: list[str] = field(default_factory=list)
    short: bool = False

    @property
    def status(self) -> str:
        """wrong, refused, not attention, partial or exact."""
        if self.wrong:
            return "wrong"
        if not self.calls:
            return "refused" if self.refused else "not attention"
        if len(self.refused) >= self.calls:
            return "refused"
        return "partial" if self.refused or self.partial else "exact"


def judge(subject: Subject) -> Verdict:
    """Run a model plain, watched, and forming its weights itself, and compare."""
    verdict = Verdict()
    try:
        _judge(subject, verdict)
    except JumokError as error:
        verdict.refused.append(_tell(error))
    except Exception as error:
        verdict.wrong.append(f"traceback: {_tell(error)}")
    return verdict


def _judge(subject: Subject, verdict: Verdict) -> None:
    seen = _watch(subject, verdict)
    maps = _read(seen, verdict)
    _judge_axes(subject, seen, maps, verdict)
    try:
        eager = make_eager(subject.model)
        _, given = own_attentions(eager, subject.inputs)
    except Exception as error:
        verdict.notes.append(f"its eager form does not run: {_tell(error)}")
        eager, given = subject.model, []
    eager_seen, _ = watched(eager, subject.inputs)
    every, given = given, _choose_weights(given, eager, verdict)
    _judge_weights(subject, maps, eager_seen, given, verdict)
    if given and verdict.calls:
        _judge_rest(subject, eager, every, _read_weights(eager_seen), verdict)
    frames = "video" in subject.kind  # each goes through the layers by itself
    _judge_rollout(seen, eager_seen, [] if frames else given, verdict)


def _tell(error: BaseException) -> str:
    """An error in a line; of what is not ours to raise, with its kind and place."""
    text = " ".join(str(error).split())[:LONGEST]
    if isinstance(error, JumokError):
        return text
    frames = traceback.extract_tb(error.__traceback__)[-1:-4:-1]
    places = " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__}: {text} at {places}"


def watched(model: nn.Module, inputs: Mapping[str, Any]) -> tuple[Seen, Any]:
    """As `run`, watched."""
    torch.manual_seed(0)
    with torch.no_grad(), jumok.watch(model) as seen:
        output = model(**inputs)
    return seen, output


class _Counting(TorchFunctionMode):
    """Count what may be attention."""

    def __init__(self) -> None:
        super().__init__()
        self.softmaxes = self.fused = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        self.fused += name in ("scaled_dot_product_attention", "multi_head_attention_forward")
        result = function(*args, **(kwargs or {}))
        self.softmaxes += name == "softmax" and isinstance(result, Tensor) and result.dim() >= 3
        return result


def _watch(subject: Subject, verdict: Verdict) -> Seen:
    """Watch a pass, which must give bit for bit what it gives unwatched."""
    counting = _Counting()
    with counting:
        plain = run(subject.model, subject.inputs)
    verdict.softmaxes, verdict.fused = counting.softmaxes, counting.fused
    repeatable = _are_same(plain, run(subject.model, subject.inputs))
    seen, output = watched(subject.model, subject.inputs)
    if not repeatable:
        verdict.notes.append("gives something else each time, unwatched too")
    elif not _are_same(plain, output):
        verdict.wrong.append("the watched output differs from the unwatched one")
    return seen


def _are_same(one: Any, other: Any) -> bool:
    pairs = list(zip(tensors(one), tensors(other), strict=True))
    return all(a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)


def _read(seen: Seen, verdict: Verdict) -> dict[str, AttentionMap]:
    """The maps that are given; of the others, why they are not."""
    maps = {}
    for name in seen.names:
        try:
            found = seen[name]
        except JumokError as error:
            verdict.refused.append(f"{name}: {_tell(error)}")
            verdict.calls += 1
            continue
        except Exception as error:
            verdict.wrong.append(f"{name}: traceback {_tell(error)}")
            verdict.calls += 1
            continue
        if found.scale is Scale.GATE and isinstance(found.keys, Channels):
            verdict.gates += 1
            continue
        verdict.calls += 1
        maps[name] = found
        _judge_rows(name, found.weights, verdict)
    return maps


def _judge_rows(name: str, weights: Tensor, verdict: Verdict) -> None:
    sums = weights.sum(-1)
    if not bool(torch.isfinite(weights).all()):
        verdict.notes.append(f"{name}: weights that are not finite")
    elif not bool(weights.any()):
        verdict.wrong.append(f"{name}: a map of zeros")
    elif bool(((sums - 1).abs() > 1e-4).any()):
        verdict.short = True
        verdict.notes.append(f"{name}: rows sum to {float(sums.min()):.3g} to {float(sums.max()):.3g}")


# -- axes -----------------------------------------------------------------------------------------------------------


def _judge_axes(subject: Subject, seen: Seen, maps: dict[str, AttentionMap], verdict: Verdict) -> None:
    """Places must be where they are said to be; what is only numbered must say why."""
    pictures = {"image", "video"} & set(subject.kind.split("+"))
    reasons: dict[str, str] = {}
    own = {name: found for name in maps if (found := find_own(seen, name, maps[name])) is not None}
    for name, attention in maps.items():
        shown = own.get(name, attention)
        for axis in (shown.queries, shown.keys):
            if isinstance(axis, Tokens) and axis.why and not _are_named(axis):
                reasons.setdefault(axis.why, name)
            if isinstance(axis, IMAGE_AXES) and not pictures:
                verdict.wrong.append(f"{name}: {tell_axis(axis)} of a model that was given no image")
            if isinstance(axis, Channels) and not pictures:
                verdict.wrong.append(f"{name}: {tell_axis(axis)} of a model that was given words or sound only")
    verdict.partial += [f"{name}: numbered: {why[:LONGEST]}" for why, name in reasons.items()]
    told = (f"{tuple(m.weights.shape)} {tell_axis(m.queries)} x {tell_axis(m.keys)}" for m in maps.values())
    verdict.axes = list(dict.fromkeys(told))[:4]
    if subject.image is not None and maps:
        wrong, notes = check_places(subject, maps, own, lambda inputs: watched(subject.model, inputs)[0])
        verdict.wrong += wrong
        verdict.notes += notes


def _are_named(axis: Tokens) -> bool:
    """Whether tokens that are laid over no image are known all the same, each by its image and place."""
    return bool(axis.labels() != Tokens.numbered(len(axis)).labels())


# -- weights --------------------------------------------------------------------------------------------------------


def _choose_weights(given: Given, model: nn.Module, verdict: Verdict) -> Given:
    """Leave aside what a model gives as its attentions and is no weights over keys, or is given twice."""
    chosen: Given = []
    for name, own in given:
        if own.shape[-1] == 1 and bool((own == 1).all()):
            verdict.notes.append(f"{name} {tuple(own.shape)}: a single key each, so that its weight is 1")
        elif not are_weights(own):
            verdict.notes.append(f"{name} {tuple(own.shape)}: no weights over keys")
        elif not _is_among(own, chosen):
            chosen.append((name, own))
    return chosen


def _is_among(own: Tensor, given: Given) -> bool:
    """Whether a model gives the same weights once more under another name."""
    return any(own.shape == other.shape and torch.equal(own, other) for _, other in given)


def _judge_weights(
    subject: Subject,
    maps: dict[str, AttentionMap],
    eager_seen: Seen,
    given: Given,
    verdict: Verdict,
) -> None:
    """Weights of the model's own run and of its eager form, against those that the eager form forms itself."""
    own_maps = {name: attention.weights for name, attention in maps.items()}
    verdict.references = len(given)
    if not given:
        _judge_without_reference(subject, own_maps, verdict)
    elif not verdict.calls:
        verdict.refused.append(f"no attention is seen, of {len(given)} weights that the model forms")
    else:
        eager_maps = _read_weights(eager_seen)
        missed = match(given, eager_maps)
        verdict.matched = len(given) - len(missed)
        missed = missed if len(missed) > len(eager_seen) - len(eager_maps) else []
        verdict.wrong += [f"eager run: {line}" for line in missed]
        differing = match(given, own_maps)
        if len(differing) > len(verdict.refused):
            verdict.wrong += _judge_in_double(subject, verdict)


def _judge_rest(
    subject: Subject, eager: nn.Module, given: Given, eager_maps: dict[str, Tensor], verdict: Verdict
) -> None:
    """Calls of which the model gives no weights must be what its softmaxes gave."""
    rest = find_unmatched(given, eager_maps)
    if not rest:
        return
    direct = _compute(eager, subject.inputs)
    missed = match(list(rest.items()), dict([*direct.softmaxes, *direct.given]))
    missed = [line for line, own in zip(missed, _find_named(missed, rest), strict=True) if not _is_in(own, direct)]
    if missed:
        verdict.partial.append(
            f"{len(missed)} of {len(eager_maps)} maps could not be compared: the model forms none just like these"
        )


def _find_named(lines: list[str], maps: dict[str, Tensor]) -> list[Tensor]:
    """The maps that lines of `match` are about."""
    return [next(own for name, own in maps.items() if line.startswith(f"{name}[")) for line in lines]


def _is_in(own: Tensor, direct: Direct) -> bool:
    """Whether all rows of a map are rows of what the model formed itself, whatever the order of the axes in front."""
    formed = itertools.chain(direct.softmaxes, direct.given, direct.multiplied)
    return any(are_rows_of(own, given, NEAR_ENOUGH) for _, given in formed)


def _read_weights(seen: Seen) -> dict[str, Tensor]:
    """The weights of the calls that are shown."""
    found = {}
    for name in seen.names:
        with contextlib.suppress(JumokError):
            shown = seen[name]
            if not (shown.scale is Scale.GATE and isinstance(shown.keys, Channels)):
                found[name] = shown.weights
    return found


def _judge_without_reference(subject: Subject, maps: dict[str, Tensor], verdict: Verdict) -> None:
    """Where a model gives no weights, take those of its calls to the fused kernel, or what its softmaxes gave."""
    direct = _compute(subject.model, subject.inputs)
    if not verdict.calls:
        if direct.given:
            verdict.refused.append(f"no attention is seen, of {len(direct.given)} calls to the fused kernel")
        elif subject.name in OTHER_SOFTMAXES:
            verdict.notes.append(f"its softmaxes are no attention: {OTHER_SOFTMAXES[subject.name]}")
        elif verdict.softmaxes:
            verdict.refused.append("none of its softmaxes is seen as attention")
        return
    if direct.given:
        missed = match(direct.given, maps)
        verdict.references, verdict.matched = len(direct.given), len(direct.given) - len(missed)
        verdict.wrong += missed if len(missed) > len(verdict.refused) else []
        return
    missed = match(list(maps.items()), dict(direct.softmaxes))
    missed = [line for line, own in zip(missed, _find_named(missed, maps), strict=True) if not _is_in(own, direct)]
    verdict.references, verdict.matched = len(direct.softmaxes), len(maps) - len(missed)
    if missed:
        verdict.partial.append(
            f"{len(missed)} of {len(maps)} maps could not be compared: the model forms none just like these"
        )


def _compute(model: nn.Module, inputs: Mapping[str, Any]) -> Direct:
    direct, sampled = Direct(), Sampled()
    with direct, sampled:
        run(model, inputs)
    spread = [(f"{name}, sampled", sampled.spread(own)) for name, own in direct.softmaxes if sampled.grids]
    direct.softmaxes += spread
    return direct


def _judge_in_double(subject: Subject, verdict: Verdict) -> list[str]:
    """What differs in double precision too, where the rounding of two kernels doesn't grow from layer to layer.

    Some models compute something else in their eager form, such as a mask left out. They are judged by the definition
    of the kernel that they call.
    """
    model = copy.deepcopy(subject.model).double()
    inputs = {name: _widen(value) for name, value in subject.inputs.items()}
    try:
        seen, output = watched(model, inputs)
        eager_output, given = own_attentions(make_eager(model), inputs)
        maps = _read_weights(seen)
        missed = match(_choose_weights(given, model, Verdict()), maps, NEAR_ENOUGH)
        if missed and not _is_near(output, eager_output):
            verdict.notes.append(f"its eager form computes something else: {missed[0]}")
            missed = match(_compute(model, inputs).given, maps, NEAR_ENOUGH)
    except Exception as error:
        return [f"in double precision: {_tell(error)}"]
    return missed if len(missed) > len(seen) - len(maps) else []


def _widen(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _is_near(one: Any, other: Any) -> bool:
    """Whether the first tensors of two outputs agree."""
    a, b = next(tensors(one)), next(tensors(other))
    return a.shape == b.shape and float((a - b).abs().max()) <= 1e-3 * float(b.abs().max())


# -- rollout --------------------------------------------------------------------------------------------------------


def _judge_rollout(seen: Seen, eager_seen: Seen, given: Given, verdict: Verdict) -> None:
    """Rollout must be the dense product where the layers are one chain, and else a distribution or refused."""
    if not verdict.calls:
        return
    layers = [own for name, own in given if own.dim() == 4]
    kinds = {name.rsplit(".", 1)[-1] for name, _ in given}
    chain = len(kinds) == 1 and len(layers) == len(given) == verdict.calls and _are_one_chain(layers)
    try:
        row = seen.rollout(0)
    except JumokError as error:
        verdict.rollout = f"refused: {_tell(error)[:120]}"
        return
    except Exception as error:
        verdict.wrong.append(f"rollout: traceback {_tell(error)}")
        return
    verdict.rollout = "given"
    sums = row.weights.sum(-1)
    if float(sums.max()) > 1.001 or (not verdict.short and float(sums.min()) < 0.999):
        verdict.wrong.append(f"rollout: a row sums to {float(sums.min()):.3g} to {float(sums.max()):.3g}")
    if chain and "constant" not in row.keys.labels():  # padding is put in anew in each layer: no product of matrices
        _judge_chain(layers, row, eager_seen, verdict)


def _are_one_chain(layers: list[Tensor]) -> bool:
    return len({own.shape[-1:] + own.shape[-2:-1] + own.shape[:1] for own in layers}) == 1 and (
        layers[0].shape[-1] == layers[0].shape[-2]
    )


def _judge_chain(layers: list[Tensor], row: AttentionMap, eager_seen: Seen, verdict: Verdict) -> None:
    wanted = dense_rollout(layers)[:, 0]
    if wanted.shape != row.weights[:, 0].shape:
        kind = f"{row.weights.shape[-1]} {type(row.keys).__name__}"
        verdict.notes.append(f"rollout is over {kind}, not over the {wanted.shape[-1]} tokens")
        return
    apart = farthest(wanted, row.weights[:, 0])
    if apart > NEAR:  # by rounding that grows from layer to layer, perhaps
        with contextlib.suppress(JumokError):
            apart = farthest(wanted, eager_seen.rollout(0).weights[:, 0])
    verdict.rollout = f"given, {apart:.1g} from the dense product"
    if apart > NEAR:
        verdict.wrong.append(f"rollout differs by {apart:.2g} from the dense product")
