"""Grad-CAM: against hooks on our CNN and on a ResNet of `transformers`, and what it refuses to make up."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from jumok.attention import One, Patches, Scale
from jumok.attribution.grad_cam import weigh
from jumok.errors import JumokError
from jumok.systems import build, configure
from jumok.watching.watch import watch


def photos(batch=3, height=32, width=48):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1)).requires_grad_()


def make(name="cnn", **options):
    torch.manual_seed(0)
    model = build(name, configure(name, classes=4, image_size=32, **options)).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
    return model


def by_hooks(model, module, pixels, number, read=lambda output: output):
    """Grad-CAM as its authors' code takes it: the module's output and the gradient at it, by hooks."""
    kept = {}
    first = module.register_forward_hook(lambda *call: kept.update(features=call[2]))
    logits = read(model(pixels))
    first.remove()
    features = kept["features"]
    gradient = torch.autograd.grad(logits[:, number].sum(), features)[0]
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return F.relu((weights * features).sum(1)).detach()


def test_the_cnns_last_map_equals_hooks():
    model, pixels = make(), photos()
    with watch(model) as seen:
        logits = model(pixels)
    for number in range(4):
        wanted = by_hooks(model, model.blocks, pixels, number)
        found = seen.grad_cam(logits[:, number], allow_empty=True)
        assert (found.queries, found.keys, found.lead) == (One("image"), Patches(8, 12), ("batch",))
        assert found.scale is Scale.RELEVANCE
        torch.testing.assert_close(found.weights[:, 0].unflatten(1, (8, 12)), wanted, atol=1e-7, rtol=1e-5)
    assert found.source == "grad-cam(blocks.3)"


@pytest.mark.parametrize("name", ["resnet", "senet", "cbam", "eca"])
@pytest.mark.parametrize("layer", ["stages.1", "stages.1.0", "stages.2.0.conv1", "stem", None])
def test_any_layer_of_a_residual_network_equals_hooks(name, layer):
    model, pixels = make(name, blocks=(1, 1, 1), width=8), photos()
    module = model.get_submodule(layer or "stages")
    every = [by_hooks(model, module, pixels, number) for number in range(4)]
    with watch(model) as seen:
        logits = model(pixels)
    number, wanted = next(each for each in enumerate(every) if each[1].any())
    found = seen.grad_cam(logits[:, number], layer, allow_empty=True)
    assert (found.keys.rows, found.keys.columns) == wanted.shape[1:]
    torch.testing.assert_close(found.weights[:, 0].unflatten(1, wanted.shape[1:]), wanted, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("layer", ["resnet.encoder.stages.1", "resnet.encoder.stages.0.layers.0", None])
def test_a_resnet_of_transformers_equals_hooks(layer):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic", num_labels=3
    )
    model = transformers.ResNetForImageClassification(config).eval()
    pixels = photos(2, 64, 64)
    module = model.get_submodule(layer or "resnet.encoder")
    wanted = by_hooks(model, module, pixels, 1, lambda output: output.logits) if layer else None
    with watch(model) as seen:
        logits = model(pixels).logits
    found = seen.grad_cam(logits[:, 1], layer, allow_empty=True)
    if wanted is None:
        wanted = by_hooks(model, model.get_submodule("resnet.encoder.stages.1"), pixels, 1, lambda each: each.logits)
    assert wanted.any()
    torch.testing.assert_close(found.weights[:, 0].unflatten(1, wanted.shape[1:]), wanted, atol=1e-7, rtol=1e-5)


def test_it_points_at_what_the_target_is_read_off():
    class Corner(nn.Module):
        """Says how bright the brightest red place is."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1, bias=False)
            with torch.no_grad():
                self.conv.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])[..., None, None])

        def forward(self, pixels):
            return F.relu(self.conv(pixels)).mean((2, 3))

    pixels = torch.zeros(1, 3, 6, 6)
    pixels[0, 0, 1, 4] = 1.0
    pixels[0, 1, 5, 0] = 1.0
    model = Corner()
    with watch(model) as seen:
        said = model(pixels)
    assert seen.grad_cam(said[:, 0]).weights.argmax() == Patches(6, 6).index((1, 4))
    assert seen.grad_cam(said[:, 1]).weights.argmax() == Patches(6, 6).index((5, 0))
    assert seen.grad_cam(said[0, 1]).weights.count_nonzero() == 1


def test_what_speaks_against_the_target_is_left_out():
    features = torch.tensor([[[[1.0, 2.0]], [[4.0, 1.0]]]])
    gradient = torch.tensor([[[[1.0, 1.0]], [[-1.0, -1.0]]]])
    assert weigh(features, gradient).tolist() == [[0.0, 1.0]]


def test_a_channel_of_a_map_lies_over_the_image():
    model, pixels = make("senet", blocks=(1, 1), width=8), photos()
    kept = {}
    hook = model.stages[1][0].gate.register_forward_hook(lambda *call: kept.update(features=call[2].detach()))
    model(pixels)
    hook.remove()
    with watch(model) as seen:
        model(pixels)
    found = seen.channel(5, "stages.1.0.gate")
    assert (found.keys, found.scale, found.source) == (Patches(16, 24), Scale.SCORE, "channel 5 of stages.1.0.gate")
    torch.testing.assert_close(found.weights[:, 0].unflatten(1, (16, 24)), kept["features"][:, 5])
    assert seen.channel(-1).keys == Patches(16, 24)
    with pytest.raises(JumokError, match=r"channel 16 is outside the 16 of the feature map of stages\.1\.0\.gate"):
        seen.channel(16, "stages.1.0.gate")
    with torch.no_grad(), watch(model) as seen:
        model(pixels)
    with pytest.raises(JumokError, match="carries no gradient"):
        seen.channel(0)


def test_gates_are_those_of_channels_alone():
    model = make("cbam", blocks=(1, 1), width=8)
    with watch(model) as seen:
        model(photos())
    gates = seen.gates()
    assert list(gates) == ["stages.0.0.gate.channel", "stages.1.0.gate.channel"]
    assert [found.weights.shape for found in gates.values()] == [(3, 1, 8), (3, 1, 16)]
    assert all(torch.equal(found.weights, seen[name].weights) for name, found in gates.items())


# -- what it refuses ----------------------------------------------------------------------------


def refusal(seen, target, layer=None):
    with pytest.raises(JumokError) as raised:
        seen.grad_cam(target, layer)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_pass_without_gradients():
    model, pixels = make(), photos()
    with torch.no_grad(), watch(model) as seen:
        logits = model(pixels)
    assert "run the model outside torch.no_grad()" in refusal(seen, logits[:, 0])


def test_a_layer_that_carries_no_gradient():
    model = make("resnet", blocks=(1, 1), width=8)
    model.stem.requires_grad_(False)
    with watch(model) as seen:
        logits = model(photos().detach())
    assert "the feature map of stem carries no gradient" in refusal(seen, logits[:, 0], "stem")
    assert seen.grad_cam(logits[:, 0], "stages.1", allow_empty=True).weights.any()


def test_a_layer_that_does_not_lead_to_the_target():
    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

        def forward(self, pixels):
            features = self.used(pixels)
            return features.mean((2, 3)), self.unused(pixels)

    model = Beside()
    with watch(model) as seen:
        said, _ = model(photos())
    assert "does not depend on the feature map of unused" in refusal(seen, said[:, 0])
    assert "does not depend on the feature map of unused" in refusal(seen, said[:, 0], "unused")
    assert seen.grad_cam(said[:, 0], "used", allow_empty=True).weights.any()


def test_a_target_of_another_pass():
    model = make()
    with watch(model) as seen:
        first = model(photos())
        model(photos())
    assert "compute the target from the last forward pass" in refusal(seen, first[:, 0])


def test_images_in_which_nothing_speaks_for_the_target():
    class Against(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, pixels):
            return -F.relu(self.conv(pixels)).mean((2, 3)) * pixels.new_tensor([[1.0], [-1.0]])

    model = Against()
    with watch(model) as seen:
        said = model(photos(2))
    assert "holds no evidence for the target in 1 of 2 images (number 0)" in refusal(seen, said[:, 0])
    assert "in any image" in refusal(seen, said[0, 0])
    shown = seen.grad_cam(said[:, 0], allow_empty=True).weights
    assert not shown[0].any()
    assert shown[1].any()


def test_maps_without_places():
    model = nn.Sequential(nn.Conv2d(3, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    with watch(model) as seen:
        said = model(photos(2, 4, 4))
    assert "show the model larger images" in refusal(seen, said[:, 0])
    assert "has 1 x 1 places" in refusal(seen, said[:, 0], "0")


def test_a_map_that_was_written_over():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with watch(model) as seen:
        said = model(photos())
    assert "was written over by a later layer" in refusal(seen, said[:, 0], "0")
    assert seen.grad_cam(said[:, 0], allow_empty=True).source == "grad-cam(1)"


def test_an_image_that_was_sampled_anew():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.where, self.conv = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 4, 3)

        def forward(self, pixels):
            grid = F.affine_grid(torch.eye(2, 3).expand(len(pixels), 2, 3), list(pixels.shape), align_corners=False)
            return F.relu(self.conv(F.grid_sample(self.where(pixels), grid, align_corners=False))).mean((2, 3))

    model = Turned()
    with watch(model) as seen:
        said = model(photos())
    assert "its places are not the image's" in refusal(seen, said[:, 0])
    assert seen.grad_cam(said[:, 0], "where", allow_empty=True).keys == Patches(32, 48)


def test_models_that_go_on_with_tokens():
    model = build("vit-nano", configure("vit-nano", classes=4, image_size=32, width=24, depth=2)).eval()
    with watch(model) as seen:
        logits = model(photos(2, 32, 32))
    assert "use rollout or relevance" in refusal(seen, logits[:, 0])


def test_models_without_feature_maps_and_unknown_layers():
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    with watch(model) as seen:
        said = model(photos(2, 4, 4))
    assert "needs a model of 2-D convolutions" in refusal(seen, said[:, 0])
    model = make()
    with watch(model) as seen:
        said = model(photos())
    assert "blocks.3" in refusal(seen, said[:, 0], "block.3")
    for target in (said[:2, 0], said, said[:, :2]):
        assert "one number, or one per image (3 here), got shape" in refusal(seen, target)


def test_watching_changes_nothing_in_a_training_step():
    results = []
    for look in (False, True):
        model, pixels = make("cbam", blocks=(1, 1), width=8).train(), photos()
        if look:
            with watch(model):
                loss = model(pixels).logsumexp(1).sum()
        else:
            loss = model(pixels).logsumexp(1).sum()
        loss.backward()
        results.append([loss.detach(), *(value.grad for value in model.parameters()), *model.buffers()])
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


class Pooled(nn.Module):
    """Ends in a ReLU and a pooling within its own forward."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1), nn.Linear(8, 3)

    def forward(self, pixels):
        self.last = F.relu(self.two(F.relu(self.one(pixels))))
        return self.head(F.adaptive_avg_pool2d(self.last, 1).flatten(1))


class Joined(nn.Module):
    """A dense block: each convolution is given all maps before it, joined, and so is the pooling."""

    def __init__(self):
        super().__init__()
        self.stem, self.one, self.two = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(16, 8, 3, 1, 1)
        self.norm, self.head = nn.BatchNorm2d(24), nn.Linear(24, 3)

    def forward(self, pixels):
        maps = [self.stem(pixels)]
        maps.append(self.one(F.relu(maps[0])))
        maps.append(self.two(F.relu(torch.cat(maps, 1))))
        self.last = F.relu(self.norm(torch.cat(maps, 1)))
        return self.head(self.last.mean((2, 3)))


@pytest.mark.parametrize("hook", ["register_full_backward_hook", "register_full_backward_pre_hook", None])
@pytest.mark.parametrize("kind", [Pooled, Joined])
def test_the_map_that_is_pooled_is_read_whatever_hooks_hang_on_modules(kind, hook):
    torch.manual_seed(3)
    model = kind().eval()
    for module in model.modules() if hook else ():
        getattr(module, hook)(lambda *call: None)
    with watch(model) as seen:
        logits = model(torch.randn(2, 3, 32, 32).requires_grad_())
    (slope,) = torch.autograd.grad(logits[:, 1].sum(), model.last, retain_graph=True)
    wanted = (slope.mean((2, 3), keepdim=True) * model.last).sum(1).clamp(min=0).flatten(1).detach()
    found = seen.grad_cam(logits[:, 1], allow_empty=True)
    torch.testing.assert_close(found.weights[:, 0], wanted, atol=1e-6, rtol=1e-5)


def test_a_wrong_name_of_a_layer_lists_those_near_it():
    model = Joined().eval()
    with watch(model) as seen:
        logits = model(torch.randn(1, 3, 32, 32).requires_grad_())
    with pytest.raises(JumokError, match="no feature map of a module 'twoo' was seen: near it: two"):
        seen.grad_cam(logits[:, 1], "twoo")


class Nameless(nn.Module):
    """Makes its last map itself, outside its parts."""

    def __init__(self, *, parts):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.stem = nn.Conv2d(3, 3, 3) if parts else nn.Identity()

    def forward(self, pixels):
        return torch.conv2d(self.stem(pixels), self.weight).mean((2, 3))


@pytest.mark.parametrize(
    ("parts", "message"),
    [(True, "known, the last first: stem$"), (False, "no module of this model makes one of its own: leave the layer")],
)
def test_the_model_itself_is_no_layer_that_is_suggested(parts, message):
    model = Nameless(parts=parts).eval()
    with watch(model) as seen:
        logits = model(torch.randn(1, 3, 32, 32).requires_grad_())
    with pytest.raises(JumokError, match=f"no feature map of a module 'xyz' was seen: {message}"):
        seen.grad_cam(logits[:, 1], "xyz")


def test_a_map_that_the_model_itself_made_is_called_the_models():
    model, pixels = Nameless(parts=False).eval(), torch.randn(1, 3, 32, 32).requires_grad_()
    with watch(model) as seen:
        model(pixels)
    with pytest.raises(JumokError, match="does not depend on the feature map of the model: "):
        seen.grad_cam(pixels.sum())


class Attending(nn.Module):
    """A block of a convolution and, where it is asked for, attention over its places, whose result is a map again."""

    def __init__(self, attends):
        super().__init__()
        self.conv = nn.Conv2d(3 if attends else 8, 8, 3, padding=1)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True) if attends else None

    def forward(self, x):
        x = self.conv(x)
        if self.attention is None:
            return x
        tokens = x.flatten(2).mT
        return self.attention(tokens, tokens, tokens)[0].mT.unflatten(2, x.shape[2:])


def test_a_layer_that_attends_after_its_last_map_is_refused_and_the_map_is_named():
    """What it gives is no feature map that is known, and the map before would be shown under its name."""
    torch.manual_seed(0)
    model = nn.Sequential(Attending(True), Attending(False), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with watch(model) as seen:
        logits = model(photos(height=8, width=8))
    with pytest.raises(JumokError, match=r"0 continues with tokens \(0.attention attends .*name that map, 0\.conv"):
        seen.grad_cam(logits[:, 0], layer="0", allow_empty=True)
    for layer in ("0.conv", "1"):
        found = seen.grad_cam(logits[:, 0], layer=layer, allow_empty=True)
        assert found.source == f"grad-cam({layer})"
