"""LibraGrad: gradients kept in balance, so that what the parts of the input contributed sums to the output."""

from __future__ import annotations

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Scale
from jumok.attribution.backward.rules import DETACHED
from jumok.attribution.inputs import Trace, lay_out
from jumok.attribution.rows import make_row
from jumok.attribution.states import find_states
from jumok.errors import JumokError, suggest
from jumok.watching.seen import Seen

__all__ = ["libra"]

FORMS = ("input-x-gradient", "fullgrad+", "attcat")


def libra(seen: Seen, target: Tensor, *, form: str = "input-x-gradient") -> AttentionMap:
    """Input times a gradient for which attention weights, the denominators of norms and gates are constants.

    Of a product of two things that are none of these, each gets half. Of a model without biases the map sums to the
    target. Two other forms also ask what the tokens h_l contributed as each layer found them, h_l * dL/dh_l:
    "fullgrad+" adds that up over the layers and to what the input contributed, "attcat" weighs it by how much of the
    layer's attention a token got, and adds the layers up.

    Args:
        seen: of the pass that the target is of.
        target: one number, or one per image, with gradients.
        form: "input-x-gradient", "fullgrad+" or "attcat".
    Returns:
        (batch, 1, patches, pixels or words), of any sign; of the other forms the tokens that attention is over.
    Raises:
        JumokError: no graph, no input in it, a target of another shape, an operation that no rule is known for, no
            such form, or layers over different tokens for the forms that add them up.
    Source: Mehri et al. 2025, LibraGrad, arXiv 2411.16760, section 3.5 and table 2; Qiang et al. 2022, AttCAT, NeurIPS,
        section 3. Differs: fullgrad+ leaves the biases out, as the authors' own ablation finds them to add little.
    """
    if form not in FORMS:
        raise JumokError(f"no form {form!r}: {suggest(form, FORMS)}")
    trace = Trace.of(seen, target, "libra")
    if form == FORMS[0]:
        return trace.attribute("libra", DETACHED)
    flow = seen.flow(partial=True)
    parts, *states = trace.contribute(DETACHED, find_states(trace.graph, flow, "libra"))
    rows = [state.float().sum(-1) for state in states]
    if form == "attcat":
        even = [rows[0].new_full(layer.shape[0:3:2], 1 / layer.shape[2]) for layer in flow.layers]
        rows = [row * layer.pull(r).to(row) for row, layer, r in zip(rows, flow.layers, even, strict=True)]
    total = torch.stack(rows).sum(0)
    if form == "fullgrad+":
        given = lay_out(seen, parts.float(), is_text=trace.is_text)[1]
        total[:, total.shape[1] - given.shape[1] :] += given  # learnt tokens stand in front
    label = "text" if trace.is_text else "image"
    return make_row(total, flow.keys, label, f"libra {form}", Scale.SCORE)
