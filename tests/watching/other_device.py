"""A device beside the CPU, made of Python: what runs on it must make and keep all its tensors there.

Its tensors lie in the CPU's memory, say that they are elsewhere, and refuse to be mixed with the CPU's, as a GPU's do.
Run by itself, for PyTorch takes such a device for a whole process: writes a line for each case, `name device gap`,
the gap being how far the result lies from that of the CPU, as a share of its largest value.
"""

import copy
import sys
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from jumok.mechanisms.additive import fast_scores
from jumok.special_tokens import EOS, PAD
from jumok.systems import build, configure
from jumok.watching.watch import watch

DEVICE = "elsewhere:0"
COPIES = {"_to_copy", "copy_", "_copy_from", "item", "_local_scalar_dense"}
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
"""Operations whose indices may lie on the CPU."""


class Elsewhere(Tensor):
    """A tensor of that device, held by one of the CPU."""

    @staticmethod
    def __new__(cls, held):
        like = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        made = Tensor._make_wrapper_subclass(cls, held.size(), device=DEVICE, requires_grad=False, **like)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})

    def tolist(self):
        return self.held.tolist()


class Making(TorchDispatchMode):
    """Within it, tensors can be made on that device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _run(func, args, kwargs):
    name = func.overloadpacket.__name__
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    is_elsewhere = any(isinstance(each, Elsewhere) for each in tensors)
    if is_elsewhere and name not in COPIES:
        _refuse_mixture(name, tensors)
    device = kwargs.get("device")
    held = tree_map(_hold, args), tree_map(_hold, kwargs)
    if device is not None:
        held[1]["device"], is_elsewhere = "cpu", torch.device(device) == torch.device(DEVICE)
    found = func(*held[0], **held[1])
    if name.endswith("_") and not name.endswith("__"):
        return args[0]
    if "out" in kwargs:
        return kwargs["out"]
    return tree_map(lambda each: Elsewhere(each) if is_elsewhere and isinstance(each, Tensor) else each, found)


def _refuse_mixture(name, tensors):
    for at, each in enumerate(tensors):
        may_lie_anywhere = each.dim() == 0 or (name in INDEXED and at > 0)
        if not isinstance(each, Elsewhere) and not may_lie_anywhere:
            raise RuntimeError(f"{name} of {[(str(each.device), tuple(each.shape)) for each in tensors]}")


def _hold(value):
    return value.held if isinstance(value, Elsewhere) else value


def _make_empty(size, stride, *, dtype=None, layout=None, device=None, pin_memory=None):
    return Elsewhere(torch.empty_strided(size, stride, dtype=dtype, device="cpu"))


def _copy(source, target, non_blocking=False):
    _hold(target).copy_(_hold(source))
    return target


def set_up():
    """Have PyTorch know the device in this process from now on. What is returned has to be kept."""
    _setup_privateuseone_for_python_backend("elsewhere")
    torch.elsewhere.get_amp_supported_dtype = lambda: [torch.bfloat16]
    library = torch.library.Library("aten", "IMPL")
    library.impl("empty_strided", _make_empty, "PrivateUse1")
    library.impl("_copy_from", _copy, "PrivateUse1")
    return library


def move(model):
    """A copy of a model on that device."""
    moved = copy.deepcopy(model)
    parameters = {each: nn.Parameter(Elsewhere(each.detach()), each.requires_grad) for each in moved.parameters()}
    for module in moved.modules():
        for name, each in module._parameters.items():
            if each is not None:
                module._parameters[name] = parameters[each]
        for name, each in module._buffers.items():
            if each is not None:
                module._buffers[name] = Elsewhere(each)
    return moved


def compare(name, work, model, *inputs):
    """Write how far `work(model, *inputs)` lies from the same on the CPU."""
    found = []
    for there in (False, True):
        torch.manual_seed(0)
        with Making() if there else nullcontext():
            given = [each.clone() for each in inputs]
            found.append(work(*((move(model), *map(Elsewhere, given)) if there else (model, *given))))
    plain, other = found
    assert isinstance(other, Elsewhere), f"{name} is on {other.device}"
    gap = (plain - other.held).abs().max() / plain.abs().max()
    sys.stdout.write(f"{name} {other.device} {gap.item()}\n")


# -- cases --------------------------------------------------------------------------------------

AGAIN = {"integrated-gradients": {"steps": 4}, "occlusion": {}, "rise": {"masks": 16}}
"""Methods that run the model again, and how often."""
OF_TOKENS = (
    "rollout",
    "raw",
    "chefer",
    "libra",
    "lrp",
    "input-x-gradient",
    "legrad",
    "value-weighted",
    "random",
    *AGAIN,
)
OF_FEATURES = ("libra", "lrp", "input-x-gradient", "grad-cam", *AGAIN)
OF_WINDOWS = ("raw", "chefer", "libra", "lrp", "value-weighted", *AGAIN)


def explain(method, read=lambda output: output):
    def work(model, pixels):
        pixels.requires_grad_()
        with watch(model) as seen:
            logits = read(model(pixels))
        options = dict(AGAIN.get(method, {}))
        if method in AGAIN:
            options |= {"inputs": pixels.detach(), "forward": lambda shown: read(model(shown))[:, 0]}
        if method == "rollout":
            return seen.rollout("cls").weights.detach()
        return seen.relevance(logits[:, 0], method=method, **options).weights.detach()

    return work


def step(model, *inputs):
    """A step of training, of 64 bits so that sums in another order hardly matter; all gradients in one row."""
    output = model(*inputs)
    output = output if isinstance(output, Tensor) else output[0]
    output.square().mean().backward()
    return torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])


def read_logits(output):
    return output.logits


def watch_and_explain():
    pixels = torch.randn(2, 3, 32, 32)
    vit = build("vit-nano", configure("vit-nano", classes=2, image_size=32, patch=8)).eval()
    senet = build("senet", configure("senet", classes=2)).eval()
    for method in OF_TOKENS:
        compare(f"vit-nano/{method}", explain(method), vit, pixels)
    for method in OF_FEATURES:
        compare(f"senet/{method}", explain(method), senet, pixels)


def explain_foreign_models():
    from transformers import ResNetConfig, ResNetForImageClassification, SwinConfig, SwinForImageClassification

    pixels = torch.randn(2, 3, 32, 32)
    swin = SwinConfig(image_size=32, patch_size=4, embed_dim=16, depths=[2, 2], num_heads=[2, 2], window_size=4)
    resnet = ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1])
    for method in OF_WINDOWS:
        compare(f"swin/{method}", explain(method, read_logits), SwinForImageClassification(swin).eval(), pixels)
    for method in OF_FEATURES:
        compare(f"resnet/{method}", explain(method, read_logits), ResNetForImageClassification(resnet).eval(), pixels)


def train_on_images():
    for name in ("cnn", "resnet", "senet", "cbam", "eca", "non-local", "vit-nano", "stn"):
        options = {"image_size": 32, "patch": 8} if name == "vit-nano" else {}
        model = build(name, configure(name, classes=2, **options))
        compare(f"step/{name}", step, model.double(), torch.randn(4, 3, 32, 32).double())


def train_on_pairs():
    source = torch.tensor([[5, 8, 8, 4, EOS], [7, EOS, PAD, PAD, PAD], [6, 6, 7, EOS, PAD]])
    target = torch.tensor([[2, 4, 6, 7], [2, 5, 8, 4], [2, 8, 4, 4]])
    model = build("transformer", configure("transformer", source_vocabulary=11, target_vocabulary=9)).eval()
    compare("step/transformer", step, model.double(), source, target)


def score():
    query, key, w = torch.randn(2, 3, 4), torch.randn(2, 5, 4), torch.randn(4)
    compare("additive", lambda model, *given: fast_scores(*given), nn.Identity(), query, key, w)


CASES = {
    each.__name__: each for each in (watch_and_explain, explain_foreign_models, train_on_images, train_on_pairs, score)
}

if __name__ == "__main__":
    kept = set_up()
    for chosen in sys.argv[1:] or CASES:
        torch.manual_seed(0)
        CASES[chosen]()
