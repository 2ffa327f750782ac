"""Small models whose attention is known, for tests of watching and of attribution."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
IMAGE = {**SMALL, "image_size": 32, "patch_size": 8}


def peaked(model):
    """Random-init attention is nearly uniform; larger weights make it choose."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            with torch.no_grad():
                parameter.copy_(torch.randn_like(parameter) * 0.25)
    return model.eval()


def eager(model):
    other = copy.deepcopy(model)
    other.set_attn_implementation("eager")
    return other


def vision(config_class, model_class, **options):
    return peaked(model_class(config_class(**{**IMAGE, **options})))


class Fused(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.options = options

    def forward(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value, **self.options)
