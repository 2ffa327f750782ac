"""What ran where nothing sees it, and what images are mixed by: each is named."""

import threading

import pytest
import torch
from torch import nn

from jumok.attention import Patches
from jumok.errors import JumokError
from jumok.watching.watch import watch

PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def attend(q, k, v):
    return (q @ k.mT).softmax(-1) @ v


class InNumpy(torch.autograd.Function):
    """Attention that NumPy computes."""

    @staticmethod
    def forward(ctx, q, k, v):
        scores = q.detach().numpy() @ k.detach().mT.numpy()
        return torch.from_numpy(torch.as_tensor(scores).softmax(-1).numpy() @ v.detach().numpy())

    @staticmethod
    def backward(ctx, gradient):
        return gradient, gradient, gradient


def in_another_thread(q, k, v):
    found = []
    thread = threading.Thread(target=lambda: found.append(attend(q, k, v)))
    thread.start()
    thread.join()
    return found[0].detach()


@torch.jit.script
def in_torchscript(q, k, v):
    return (q @ k.mT).softmax(-1) @ v


def in_vmap(q, k, v):
    return torch.func.vmap(torch.func.vmap(attend))(q, k, v)


class Between(nn.Module):
    """What a function does, added to the tokens before a layer of attention."""

    def __init__(self, form):
        super().__init__()
        self.form, self.embed, self.qkv, self.project = (
            form,
            nn.Conv2d(3, 16, 8, 8),
            nn.Linear(16, 48),
            nn.Linear(16, 16),
        )
        self.last = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, pixels):
        x = self.embed(pixels).flatten(2).transpose(1, 2)
        parts = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        x = x + self.project(self.form(*parts).transpose(1, 2).flatten(2))
        return x + self.last(x, x, x)[0]


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize(
    ("form", "said"),
    [
        (InNumpy.apply, "something that was not seen"),
        (in_another_thread, "something that was not seen"),
        (in_torchscript, "something that was not seen"),
        (in_vmap, "what torch.func.vmap made"),
    ],
)
def test_what_is_made_unseen_and_added_to_tokens_is_named(form, said, graph):
    model = Between(form).eval()
    for _ in range(2):
        with torch.set_grad_enabled(graph), watch(model) as seen:
            model(PIXELS)
        with pytest.raises(JumokError, match=said):
            seen.rollout(0)


def test_positions_that_are_kept_from_before_hide_nothing():
    class Placed(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.last = nn.Conv2d(3, 16, 8, 8), nn.MultiheadAttention(16, 2, batch_first=True)
            self.places = [torch.randn(1, 16, 16)]

        def forward(self, pixels):
            x = self.embed(pixels).flatten(2).transpose(1, 2) + self.places[0]
            return x + self.last(x, x, x)[0]

    with torch.no_grad(), watch(model := Placed().eval()) as seen:
        model(PIXELS)
    assert seen.rollout(0).keys == Patches(4, 4)


class Normed(nn.Module):
    """A batch norm of tokens between two layers of attention."""

    def __init__(self):
        super().__init__()
        self.embed, self.norm = nn.Conv2d(3, 16, 8, 8), nn.BatchNorm1d(16)
        self.first, self.last = (nn.MultiheadAttention(16, 2, batch_first=True) for _ in range(2))

    def forward(self, pixels):
        x = self.embed(pixels).flatten(2).transpose(1, 2)
        x = self.norm((x + self.first(x, x, x)[0]).mT).mT
        return x + self.last(x, x, x)[0]


def test_batch_norm_mixes_images_in_training_mode_only():
    model = Normed()
    with torch.no_grad(), watch(model) as seen:
        model(PIXELS)
    with pytest.raises(JumokError, match="batch_norm in training mode in norm"):
        seen.rollout(0)
    with torch.no_grad(), watch(model.eval()) as seen:
        model(PIXELS)
    assert seen.rollout(0).keys == Patches(4, 4)


def test_attention_of_one_image_without_an_axis_for_it():
    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.qkv = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 48)

        def forward(self, pixels):
            x = self.embed(pixels)[0].flatten(1).T
            q, k, v = self.qkv(x).chunk(3, -1)
            self.weights = (q @ k.T).softmax(-1)
            return x + self.weights @ v

    with torch.no_grad(), watch(model := One().eval()) as seen:
        model(PIXELS[:1])
    assert seen[0].keys == Patches(4, 4)
    torch.testing.assert_close(seen[0].weights[0], model.weights)
    wanted = 0.5 * torch.eye(16) + 0.5 * model.weights
    torch.testing.assert_close(seen.rollout((1, 2)).weights[0, 0], wanted[6])
