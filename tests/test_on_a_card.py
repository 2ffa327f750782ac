"""On a GPU: watched is unwatched whichever kernel runs, maps equal the CPU's, training resumes, search finds the same.

Runs where CUDA is there (`make cuda`). With JUMOK_CARD=cpu it runs on the CPU, which says whether the tests themselves
are right.
"""

import copy
import os

import pytest
import torch
from app_helpers import QUICK
from breaking import end_after, same_end
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from jumok.mechanisms.additive import fast_scores
from jumok.special_tokens import EOS
from jumok.systems import build, configure
from jumok.systems.seq2seq import Seq2Seq, Seq2SeqConfig
from jumok.systems.transformer import Transformer, TransformerConfig
from jumok.tasks.translate.decoding import search
from jumok.watching.watch import watch

CARD = os.environ.get("JUMOK_CARD") or ("cuda" if torch.cuda.is_available() else "")
pytestmark = pytest.mark.skipif(not CARD, reason="needs a GPU that torch can use, or JUMOK_CARD")

KERNELS = {
    "math": SDPBackend.MATH,
    "flash": SDPBackend.FLASH_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
}
ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 2e-3, torch.float16: 5e-4}
"""Of weights, which jumok computes in float32 from queries and keys of each kind."""
METHODS = ("rollout", "raw", "chefer", "legrad", "libra", "lrp", "input-x-gradient", "value-weighted")


class Attention(nn.Module):
    """Self-attention that keeps the queries and keys of its last pass."""

    def __init__(self, width=64, heads=2):
        super().__init__()
        self.heads, self.inner = heads, nn.Linear(width, 3 * width)

    def forward(self, tokens, mask=None):
        parts = self.inner(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        self.query, self.key, value = parts
        read = F.scaled_dot_product_attention(self.query, self.key, value, mask)
        return tokens + read.transpose(1, 2).flatten(2)


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Attention(), Attention()

    def forward(self, tokens, mask=None):
        return self.second(self.first(tokens, mask), mask)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("kernel", KERNELS)
def test_watched_is_unwatched_and_weights_are_those_of_the_kernel(kernel, dtype, masked):
    model, tokens = Tokens().to(CARD, dtype).eval(), torch.randn(3, 40, 64).to(CARD, dtype)
    mask = torch.ones(3, 1, 40, 40, dtype=torch.bool, device=CARD).tril() if masked else None
    with torch.no_grad(), sdpa_kernel(KERNELS[kernel]):
        try:
            plain = model(tokens, mask)
        except RuntimeError as error:
            pytest.skip(f"no {kernel} kernel for this: {str(error)[:80]}")
        with watch(model) as seen:
            watched = model(tokens, mask)
    assert torch.equal(plain, watched)
    for name, layer in zip(("first", "second"), (model.first, model.second), strict=True):
        scores = layer.query.float() @ layer.key.float().mT / layer.query.shape[-1] ** 0.5
        wanted = (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(-1)
        torch.testing.assert_close(seen[name].weights.to(CARD), wanted, rtol=0, atol=ROUNDING[dtype])


@pytest.mark.parametrize("method", METHODS)
def test_maps_equal_the_cpu_s(method):
    vit = build("vit-nano", configure("vit-nano", classes=2, image_size=32, patch=8)).eval()
    pixels = torch.randn(2, 3, 32, 32)
    maps = []
    for device in ("cpu", CARD):
        model, given = copy.deepcopy(vit).to(device), pixels.to(device).requires_grad_()
        with watch(model) as seen:
            logits = model(given)
        found = seen.rollout("cls") if method == "rollout" else seen.relevance(logits[:, 0], method=method)
        maps.append(found.weights.detach().cpu())
    torch.testing.assert_close(maps[1], maps[0], rtol=1e-3, atol=1e-3 * float(maps[0].abs().max()))


def plain_scores(query, key, w):
    return (query[:, :, None] + key[:, None]).tanh() @ w


@pytest.mark.parametrize("size", [(4, 7, 9), (64, 50, 60)])
def test_additive_scores_and_gradients_equal_the_plain_form(size):
    batch, queries, keys = size
    drawn = [torch.randn(batch, queries, 32), torch.randn(batch, keys, 32), torch.randn(32)]
    results = []
    for form, place in ((plain_scores, {"dtype": torch.float64}), (fast_scores, {"device": CARD})):
        given = [each.to(**place).requires_grad_() for each in drawn]
        scores = form(*given)
        gradients = torch.autograd.grad(scores.square().mean(), given)
        results.append([each.detach().cpu().float() for each in (scores, *gradients)])
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


SYSTEMS = {
    "lstm": lambda words: Seq2Seq(Seq2SeqConfig(**words, embedding=16, hidden=32, layers=2)),
    "transformer": lambda words: Transformer(TransformerConfig(**words, width=32, heads=4, layers=2)),
}


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("name", SYSTEMS)
def test_search_finds_what_it_finds_on_the_cpu(name, beam):
    model = SYSTEMS[name]({"source_vocabulary": 60, "target_vocabulary": 50}).eval()
    source = torch.randint(4, 60, (12, 9))
    source[:, -1] = EOS
    there = search(copy.deepcopy(model).to(CARD), source.to(CARD), beam=beam, max_length=12)
    here = search(model, source, beam=beam, max_length=12)
    same = sum(one[0].tokens == other[0].tokens for one, other in zip(here, there, strict=True))
    assert same >= 11  # scores that are equal to rounding may be told apart otherwise
    assert [best[0].score for best in there] == pytest.approx([best[0].score for best in here], abs=1e-3)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_broken_run_ends_as_an_unbroken_one(job):
    hard = {"options": {"dropout": 0.1, "drop_path": 0.1}, "mixup": 0.4, "flips": "both", "device": CARD}
    whole, broken = job("whole", **hard), job("broken", **hard)
    whole.start()
    end_after(broken, [(2, "step"), (5, "step"), (9, "validation")])
    same_end(whole.folder, broken.folder)


@pytest.mark.parametrize("precision", ["32", "bf16", "16"])
def test_the_commands_from_a_folder_to_maps(precision, coloured, jumok, tmp_path):
    if precision == "16" and not CARD.startswith("cuda"):
        pytest.skip("half precision is trained on GPUs only")
    run = tmp_path / "run"
    on_card = ("--device", CARD)
    said = jumok("train", coloured, "--out", run, *QUICK, "--epochs", "2", "--precision", precision, *on_card)
    assert said.status == 0, said.err
    assert jumok("eval", run, *on_card).status == 0
    assert jumok("look", coloured, "--model", run, "--out", tmp_path / "look", *on_card).status == 0
    assert jumok("measure", run, coloured, "--most", "8", "--out", tmp_path / "measured", *on_card).status == 0
    table = tmp_path / "table"
    assert jumok("look", coloured, "--model", run, "--engine", "local", "--out", table, *on_card).status == 0
