"""The shares of experts are shown by tokens and experts, and are no attention."""

import pytest
import torch
from torch import nn
from watched_models import SMALL

from jumok.attention import Patches, Scale
from jumok.watching.watch import watch

transformers = pytest.importorskip("transformers")


def looked(model, *inputs):
    with torch.no_grad(), watch(model.eval()) as seen:
        model(*inputs)
    return seen


class Router(nn.Module):
    def __init__(self, *, first):
        super().__init__()
        self.score, self.first = nn.Linear(16, 4), first

    def forward(self, x):
        scores = self.score(x)
        if self.first:  # chosen, then weighed
            values, places = scores.topk(2, -1)
            self.weights = torch.zeros_like(scores).scatter(-1, places, values.softmax(-1))
            return places
        self.weights = scores.softmax(-1)
        return self.weights.topk(2, -1)[1]


class Mixture(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.embed, self.attention = nn.Conv2d(3, 16, 8, 8), nn.MultiheadAttention(16, 2, batch_first=True)
        self.router = Router(**options)
        self.experts = nn.Parameter(torch.randn(4, 16, 16))

    def forward(self, pixels):
        x = self.embed(pixels).flatten(2).transpose(1, 2)
        x = x + self.attention(x, x, x)[0]
        flat = x.reshape(-1, 16)
        chosen = self.router(flat)
        made = torch.einsum("td,tedf->tef", flat, self.experts[chosen])
        return (x.reshape(-1, 1, 16) + made).sum(1)


@pytest.mark.parametrize("first", [True, False])
def test_the_shares_of_experts_by_token(first):
    model = Mixture(first=first)
    seen = looked(model, torch.randn(2, 3, 32, 32))
    assert seen.names == ["attention"]
    assert list(seen.routers()) == ["router"]
    found = seen.routers()["router"]
    torch.testing.assert_close(found.weights, model.router.weights.view(2, 16, 4))
    assert (found.queries, found.scale) == (Patches(4, 4), Scale.DISTRIBUTION)
    assert found.keys.labels() == ["expert 0", "expert 1", "expert 2", "expert 3"]
    again = looked(model, torch.randn(2, 3, 32, 32))  # the same pass is not read again
    torch.testing.assert_close(again.routers()["router"].weights, model.router.weights.view(2, 16, 4))


def test_mixtral_gives_the_same_as_its_own_logits():
    config = transformers.MixtralConfig(**SMALL, vocab_size=50, num_key_value_heads=2, num_local_experts=4)
    model = transformers.MixtralForCausalLM(config).eval()
    ids = torch.randint(2, 40, (2, 7))
    with torch.no_grad(), watch(model) as seen:
        logits = model(ids, output_router_logits=True).router_logits
    routers = seen.routers()
    assert len(routers) == len(logits) == config.num_hidden_layers
    for found, own in zip(routers.values(), logits, strict=True):
        torch.testing.assert_close(found.weights, own.softmax(-1).view(2, 7, 4))
    assert len(seen) == config.num_hidden_layers


def test_the_largest_weights_between_tokens_are_no_router():
    class Pruned(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(20, 16)

        def forward(self, ids):
            x = self.embed(ids)
            weights = (x @ x.mT).softmax(-1)
            return (weights @ x).gather(1, weights[:, 0].topk(2, -1)[1][..., None].expand(-1, -1, 16))

    seen = looked(Pruned(), torch.randint(0, 20, (2, 6)))
    assert seen.routers() == {}
    assert len(seen) == 1


MIXTURE = {"moe_intermediate_size": 16, "n_routed_experts": 8, "n_group": 2, "topk_group": 1, "num_experts_per_tok": 2}
SIGMOID_ROUTERS = {
    "DeepseekV3": {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8},
    "Glm4Moe": {"head_dim": 8, "num_key_value_heads": 2},
}


@pytest.mark.parametrize("name", SIGMOID_ROUTERS)
def test_a_router_by_a_sigmoid_is_no_attention(name):
    torch.manual_seed(0)
    own = SIGMOID_ROUTERS[name] | MIXTURE | {"first_k_dense_replace": 1, "n_shared_experts": 1, "vocab_size": 50}
    config = getattr(transformers, f"{name}Config")(**SMALL, **own)
    seen = looked(getattr(transformers, f"{name}ForCausalLM")(config), torch.randint(2, 40, (2, 7)))
    assert seen.names == [f"model.layers.{layer}.self_attn" for layer in range(config.num_hidden_layers)]
    assert all(seen[layer].weights.shape[-2:] == (7, 7) for layer in seen.names)
    assert seen.gates() == {}
    assert all(found.keys.labels()[0] == "expert 0" for found in seen.routers().values())
