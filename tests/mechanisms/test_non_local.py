import itertools

import pytest
import torch
from torch import nn

from jumok.attention import Patches, Scale, Tokens
from jumok.errors import JumokError
from jumok.mechanisms import pairwise
from jumok.mechanisms.kernels.ramp_sums import ramp_sums
from jumok.mechanisms.non_local import NonLocal
from jumok.mechanisms.pairwise import FORMS, concatenation, dot_product, gaussian
from jumok.watching.watch import watch

EVERY_FORM = pytest.mark.parametrize("form", FORMS)
SHAPES = {2: (5, 4), 3: (3, 5, 4)}


def started(form, dimensions=2, sub_sample=True, **options):
    """A block that changes something, and features for it, in float64."""
    torch.manual_seed(0)
    block = NonLocal(6, form=form, dimensions=dimensions, sub_sample=sub_sample, **options).double()
    for tensor in (block.norm.weight,) if block.norm is not None else (block.out.weight, block.out.bias):
        nn.init.normal_(tensor)
    return block, torch.randn(2, 6, *SHAPES[dimensions], dtype=torch.float64, requires_grad=True)


PAIRS = {
    "gaussian": lambda block, one, other: (one @ other).exp(),
    "embedded-gaussian": lambda block, one, other: (one @ other).exp(),
    "dot-product": lambda block, one, other: one @ other,
    "concatenation": lambda block, one, other: (block.w.flatten() @ torch.cat([one, other])).relu(),
}


def by_loops(block, features):
    """The paper's equations, pair by pair."""
    convolved = features.flatten(2).transpose(1, 2)
    pooled = lambda grid: nn.functional.max_pool2d(grid, 2, ceil_mode=True) if block.sub_sample else grid  # noqa: E731

    def keys(tensor):
        grids = tensor.transpose(1, 2).unflatten(2, features.shape[2:])
        if block.dimensions == 2:
            return pooled(grids).flatten(2).transpose(1, 2)
        return torch.cat([pooled(grids[:, :, t]).flatten(2).transpose(1, 2) for t in range(features.shape[2])], 1)

    theta = convolved if block.theta is None else block.theta(convolved)
    phi, g = keys(convolved if block.phi is None else block.phi(convolved)), keys(block.g(convolved))
    batch, queries, count = len(features), theta.shape[1], phi.shape[1]
    rows = []
    for n, i in itertools.product(range(batch), range(queries)):
        found = torch.stack([PAIRS[block.form](block, theta[n, i], phi[n, j]) for j in range(count)])
        divisor = found.sum() if "gaussian" in block.form else count
        rows.append((found / divisor) @ g[n])
    y = torch.stack(rows).view(batch, queries, -1)
    change = block.out(y).transpose(1, 2)
    change = change if block.norm is None else block.norm(change)
    return features + change.reshape(features.shape)


@EVERY_FORM
@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("sub_sample", [True, False])
def test_each_form_is_the_papers_equations_with_their_gradients(form, dimensions, sub_sample):
    block, features = started(form, dimensions, sub_sample)
    outputs = [block(features), block.plain(features)[0], by_loops(block, features)]
    grow = torch.randn_like(features)
    parameters = [features, *block.parameters()]
    gradients = [torch.autograd.grad(output, parameters, grow, materialize_grads=True) for output in outputs]
    for output, found in zip(outputs[:2], gradients[:2], strict=True):
        torch.testing.assert_close(output, outputs[2])
        for mine, wanted in zip(found, gradients[2], strict=True):
            torch.testing.assert_close(mine, wanted)


@EVERY_FORM
@pytest.mark.parametrize("dimensions", [2, 3])
def test_gradients_by_differences(form, dimensions):
    block, features = started(form, dimensions, norm=False)
    assert torch.autograd.gradcheck(block, features[:1].detach().requires_grad_())


@EVERY_FORM
@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("norm", [True, False])
def test_a_fresh_block_changes_nothing_and_its_last_layer_learns_at_once(form, dimensions, norm):
    block = NonLocal(6, form=form, dimensions=dimensions, norm=norm)
    features = torch.randn(2, 6, *SHAPES[dimensions])
    output = block(features)
    assert torch.equal(output, features)
    output.square().sum().backward()
    assert (block.norm if norm else block.out).weight.grad.abs().sum() > 0


@EVERY_FORM
@pytest.mark.parametrize("dimensions", [2, 3])
def test_watch_sees_the_weights_with_their_places(form, dimensions):
    block, features = started(form, dimensions)
    block = block.float().eval()
    features = features.detach().float()
    plain = block(features)
    with watch(block) as seen:
        assert torch.equal(block(features), plain)
    assert seen.names == ["attention"]
    found = seen[0]
    torch.testing.assert_close(found.weights, block.plain(features)[1].detach())
    assert found.scale is {"dot-product": Scale.SCORE, "concatenation": Scale.RELEVANCE}.get(form, Scale.DISTRIBUTION)
    if dimensions == 2:
        assert (found.queries, found.keys) == (Patches(5, 4), Patches(3, 2))
        assert seen.in_image() == ["attention"]
        torch.testing.assert_close(seen.row(0, (2, 3)).weights[:, 0], found.weights[:, 11])
    else:
        assert isinstance(found.queries, Tokens)
        assert found.queries.label(20 + 4 + 1) == "1:1,1"
        assert found.keys.labels()[-1] == "2:2,1"


@EVERY_FORM
def test_nothing_of_queries_times_keys_is_formed_where_there_are_many(form):
    block = NonLocal(4, form=form, sub_sample=False)
    nn.init.ones_(block.norm.weight)
    features, pairs, largest = torch.randn(1, 4, 32, 32), 32**4, []

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            given = result if isinstance(result, tuple) else (result,)
            largest.extend(each.numel() for each in given if isinstance(each, torch.Tensor))
            return result

    with Sizes():
        block(features).sum().backward()
    assert max(largest) < pairs / 50


def test_the_dot_product_takes_the_cheaper_order_to_the_same_sums():
    draw = torch.Generator().manual_seed(0)
    for places, size in ((50, 3), (4, 30)):
        theta, phi, g = (torch.randn(2, places, size, generator=draw, dtype=torch.float64) for _ in range(3))
        wanted = torch.einsum("nis,njs,njc->nic", theta, phi, g) / places
        torch.testing.assert_close(dot_product(theta, phi, g), wanted)


def ramps(a, b, g):
    return (a[:, :, None] + b[:, None]).relu() @ g


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (7, 40), (40, 7), (300, 200)])
def test_ramp_sums_are_the_sums_with_their_gradients(queries, keys):
    draw = torch.Generator().manual_seed(queries)
    shapes = ((3, queries), (3, keys), (3, keys, 5))
    given = [torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_() for shape in shapes]
    grow = torch.randn(3, queries, 5, generator=draw, dtype=torch.float64)
    (mine, wanted), size = (f(*given) for f in (ramp_sums, ramps)), 0
    torch.testing.assert_close(mine, wanted)
    for found, other in zip(
        torch.autograd.grad(mine, given, grow), torch.autograd.grad(wanted, given, grow), strict=True
    ):
        torch.testing.assert_close(found, other)
        size += found.numel()
    assert size == sum(tensor.numel() for tensor in given)


@pytest.mark.parametrize("shift", [0.0, 300.0])
def test_ramp_sums_in_single_precision_lose_little_far_from_zero(shift):
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 2000, generator=draw) for _ in range(2))
    g = torch.randn(2, 2000, 4, generator=draw)
    a, b = a - shift, b + shift
    wanted = ramps(a.double(), b.double(), g.double())
    assert (ramp_sums(a, b, g) - wanted).abs().max() < 2e-6 * (1 + shift) * wanted.abs().max()


def test_ramp_sums_with_no_weight_and_with_all():
    b, g = torch.tensor([[1.0, 2.0]]), torch.tensor([[[3.0], [4.0]]])
    found = ramp_sums(torch.tensor([[-2.0, -5.0, -1.0, 0.0]]), b, g)
    assert found.flatten().tolist() == [0.0, 0.0, 4.0, 11.0]


def test_half_precision_sums_stay_near():
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 500, generator=draw).bfloat16() for _ in range(2))
    g = torch.randn(2, 500, 4, generator=draw).bfloat16()
    wanted = ramps(a.float(), b.float(), g.float())
    found = ramp_sums(a, b, g)
    assert found.dtype == torch.bfloat16
    assert (found.float() - wanted).abs().max() < 0.01 * wanted.abs().max()


def test_the_concatenation_is_one_sum_either_way(monkeypatch):
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 30, generator=draw, dtype=torch.float64) for _ in range(2))
    g = torch.randn(2, 30, 4, generator=draw, dtype=torch.float64)
    found = []
    for few in (0, 100):
        monkeypatch.setattr(pairwise, "MOST_WEIGHTS_PER_FEATURE", few)
        found.append(concatenation(a, b, g))
    torch.testing.assert_close(*found)


def test_gaussian_scores_are_not_scaled_down():
    theta, phi = torch.eye(2)[None] * 3, torch.eye(2)[None]
    g = torch.eye(2)[None]
    torch.testing.assert_close(gaussian(theta, phi, g), (theta @ phi).softmax(-1))


@EVERY_FORM
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 1)])
def test_the_smallest_features(form, size):
    features = torch.randn(2, 6, *size)
    block = NonLocal(6, form=form).eval()
    nn.init.ones_(block.norm.weight)
    torch.testing.assert_close(block(features), block.plain(features)[0])


@EVERY_FORM
def test_channels_last_features_give_the_same(form):
    block, features = started(form)
    last = features.detach().contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(block(last), block(features))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels 0"),
        ({"inner": 0}, "inner 0"),
        ({"form": "gausian"}, "gaussian"),
        ({"dimensions": 1}, "dimensions are 2"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(JumokError, match=message):
        NonLocal(**{"channels": 4, **options})


@pytest.mark.parametrize("shape", [(2, 6, 4), (2, 5, 4, 4), (2, 6, 3, 4, 4), (2, 6, 0, 4)])
def test_features_of_another_shape_are_refused(shape):
    with pytest.raises(JumokError, match="wanted \\(batch, 6, height, width\\)"):
        NonLocal(6)(torch.zeros(shape))
