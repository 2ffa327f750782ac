"""Small models of each kind for tests of attribution, and what to ask them."""

import torch
import transformers
from torch import nn
from watched_models import IMAGE, SMALL, peaked

from jumok.attribution import METHODS, Need
from jumok.watching.watch import watch

CLASSES = 3


def drop_biases(model):
    """Without them, and without learnt tokens and places, the output is made of the input alone."""
    gone = ("bias", "position", "cls", "class_embedding", "token_type", "mask_token", "wpe", "register")
    for name, value in model.named_parameters():
        if any(part in name for part in gone):
            value.data.zero_()
    return model


def vit(**options):
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**IMAGE, num_labels=CLASSES, **options))
    return peaked(model)


class Net(nn.Module):
    """Convolutions with batch norm, a residual block, squeeze-excitation and SiLU."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.block = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, pixels):
        x = nn.functional.silu(self.norm(self.stem(pixels)))
        gate = self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
        x = nn.functional.max_pool2d((x + self.block(x) * gate).relu(), 2)
        return self.head(x.mean((2, 3)))


def bert(**options):
    config = transformers.BertConfig(**SMALL, vocab_size=50, num_labels=CLASSES, **options)
    return peaked(transformers.BertForSequenceClassification(config))


def pixels(batch=2):
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(1)).requires_grad_()


def ids(batch=2, words=7):
    return torch.randint(1, 50, (batch, words), generator=torch.Generator().manual_seed(1))


def ask(model, inputs):
    """The logits of any of the models."""
    found = model(inputs)
    return getattr(found, "logits", found)


def explain(method, model, inputs, chosen=1, **options):
    """A method's map and the target, of one class."""
    with watch(model) as seen:
        target = ask(model, inputs)[:, chosen]
    if Need.PASSES in METHODS[method].needs:
        options = {"inputs": inputs, "forward": lambda given: ask(model, given)[:, chosen], **options}
    if method == "rise":
        options = {"masks": 40, **options}
    if "query" in METHODS[method].options and not inputs.is_floating_point():
        options = {"query": 0, **options}
    return seen.relevance(target, method=method, **options), target.detach()
