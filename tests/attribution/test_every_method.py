"""What every attribution method must hold, whichever it is: found in `METHODS`."""

import inspect
import pkgutil

import pytest
import torch
from attributed_models import Net, ask, bert, drop_biases, explain, ids, pixels, vit

import jumok.attribution
from jumok.attention import AttentionMap, Patches, Pixels, Tokens
from jumok.attribution import METHODS, Need
from jumok.errors import JumokError
from jumok.watching.watch import watch

HELPERS = {"method", "inputs", "passes", "rows", "states", "backward", "bimodal_relevance"}
EVERY = pytest.mark.parametrize("method", METHODS)
EXACT = {"lrp": {"attention": "detached"}}
"""Options with which a method conserves what it explains."""


def fits(method, kind):
    needs = METHODS[method].needs
    if kind == "net":
        return Need.ATTENTION not in needs
    return Need.FEATURES not in needs and not (kind == "bert" and Need.PASSES in needs)


def cases():
    for method in METHODS:
        for kind, make, inputs in (("vit", vit, pixels), ("net", Net, pixels), ("bert", bert, ids)):
            if fits(method, kind):
                yield pytest.param(method, make, inputs, id=f"{method}-{kind}")


CASES = pytest.mark.parametrize(("method", "make", "inputs"), cases())


def build(make):
    torch.manual_seed(0)
    return make().eval()


def test_each_file_is_a_method_or_a_helper():
    files = {found.name for found in pkgutil.iter_modules(jumok.attribution.__path__)}
    assert files - HELPERS == {name.replace("-", "_") for name in METHODS}


@EVERY
def test_a_method_is_a_function_that_tells_its_source(method):
    function = METHODS[method].explain
    assert inspect.isfunction(function)
    assert list(inspect.signature(function).parameters)[:2] == ["seen", "target"]
    assert "Source:" in inspect.getdoc(function)
    assert METHODS[method].paper


@CASES
def test_the_map_is_a_row_over_the_input(method, make, inputs):
    found, _ = explain(method, build(make), inputs())
    assert isinstance(found, AttentionMap)
    assert found.lead == ("batch",)
    assert len(found.queries) == 1
    assert isinstance(found.keys, Tokens if make is bert else Patches | Pixels)
    assert found.weights.shape[0] == 2
    assert bool(found.weights.any())
    assert METHODS[method].signed or float(found.weights.min()) >= 0
    assert method.split("-")[0] in found.source or method in ("raw",)


@CASES
def test_images_do_not_touch(method, make, inputs):
    model, both = build(make), inputs()
    together, _ = explain(method, model, both)
    alone, _ = explain(method, model, both[1:].detach().requires_grad_() if both.is_floating_point() else both[1:])
    if method == "random":
        return
    torch.testing.assert_close(together.weights[1], alone.weights[0], atol=2e-5, rtol=1e-3)


@CASES
def test_two_classes_have_two_maps_where_the_method_explains_one(method, make, inputs):
    model = build(make)
    one, other = (explain(method, model, inputs(), chosen)[0].weights for chosen in (0, 1))
    assert torch.equal(one, other) != METHODS[method].of_target


@CASES
def test_nothing_is_changed_and_nothing_left_behind(method, make, inputs):
    model, given = build(make), inputs()
    wanted = ask(model, given)
    leaves = [value for value in model.parameters() if value.requires_grad][:4]
    plain = torch.autograd.grad(wanted[:, 1].sum(), leaves, allow_unused=True)
    first, target = explain(method, model, given)
    assert torch.equal(target, wanted[:, 1])
    second, _ = explain(method, model, given)
    assert torch.equal(first.weights, second.weights)
    with watch(model) as seen:
        logits = ask(model, given)
    options = {"query": 0} if "query" in METHODS[method].options else {}
    if Need.PASSES not in METHODS[method].needs:
        seen.relevance(logits[:, 1], method=method, **options)
    again = torch.autograd.grad(logits[:, 1].sum(), leaves, allow_unused=True)
    for before, after in zip(plain, again, strict=True):
        assert (before is None and after is None) or torch.equal(before, after)
    assert all(value.grad is None for value in model.parameters())


@pytest.mark.parametrize("method", [name for name, each in METHODS.items() if each.conserves])
@pytest.mark.parametrize(("make", "inputs"), [(vit, pixels), (Net, pixels), (bert, ids)], ids=["vit", "net", "bert"])
def test_the_map_sums_to_the_target_of_a_model_without_biases(method, make, inputs):
    if not fits(method, "bert" if make is bert else "vit"):
        pytest.skip("runs the model again, from pixels")
    # Without biases a norm makes a function jump at the baseline 0, and no number of steps integrates over a jump.
    model = build(make) if Need.PASSES in METHODS[method].needs else drop_biases(build(make))
    for gamma in (None, 0.3) if method == "lrp" else (None,):
        options = {**EXACT.get(method, {}), **({} if gamma is None else {"gamma": gamma})}
        found, target = explain(method, model, inputs(), **options)
        change = target
        if Need.PASSES in METHODS[method].needs:
            change = target - ask(model, torch.zeros(2, 3, 32, 32))[:, 1].detach()
        error = (found.weights.sum((1, 2)) - change).abs() / change.abs()
        assert float(error.max()) < (1e-2 if Need.PASSES in METHODS[method].needs else 1e-3)


class Blind(torch.nn.Module):
    """A ViT that is shown a part of the image only, or a text of which some words are hidden."""

    def __init__(self, inner, kind):
        super().__init__()
        self.inner, self.kind = inner, kind

    def forward(self, given):
        if self.kind == "bert":
            return self.inner(given, attention_mask=(torch.arange(given.shape[1]) < 4).expand(given.shape).long())
        return self.inner(given * (torch.arange(32) < 16))


@CASES
def test_what_the_output_does_not_depend_on_has_nothing(method, make, inputs):
    if not METHODS[method].of_target or method == "rise":
        return
    if make is vit and method in ("chefer", "legrad"):
        return  # a patch that is hidden before it is a token is still looked at
    model = Blind(build(make), make.__name__)
    found, _ = explain(method, model, inputs())
    row = found.weights[:, 0]
    hidden = row[:, 4:] if make is bert else found.image(32, 32)[:, 0, :, 24:]
    assert float(hidden.abs().max()) <= 1e-7 * float(row.abs().max())


# -- bad input ---------------------------------------------------------------------------------


def one_line(raised):
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "libre"}, "no method 'libre': did you mean 'libra'"),
        ({"method": "lrp", "gama": 1.0}, "lrp has no option 'gama': did you mean 'gamma'"),
        ({"method": "libra", "query": "cls"}, "libra has no option 'query'"),
        ({"method": "lrp", "attention": "detach"}, "did you mean 'detached'"),
        ({"method": "integrated-gradients"}, "lacks inputs="),
        ({"method": "occlusion", "inputs": torch.zeros(2, 3, 32, 32)}, "lacks forward="),
    ],
)
def test_what_is_asked_wrongly_is_one_line(options, message):
    model = build(vit)
    with watch(model) as seen:
        target = model(pixels()).logits[:, 1]
    with pytest.raises(JumokError, match=message) as raised:
        seen.relevance(target, **options)
    one_line(raised)


@pytest.mark.parametrize("method", ["libra", "lrp", "input-x-gradient"])
def test_targets_that_cannot_be_explained_are_one_line(method):
    model, given = build(vit), pixels()
    with watch(model) as seen:
        logits = model(given).logits
    with torch.no_grad(), watch(model) as unseen:
        untraced = model(given).logits
    with watch(model) as blind:
        unasked = model(given.detach()).logits
    cases = [
        (seen, logits, r"one per image \(2 here\), got shape \(2, 3\)"),
        (unseen, untraced[:, 1], "carries no gradient"),
        (blind, unasked[:, 1], "no input that asks for gradients"),
        (seen, logits[:, 1] * float("nan"), "NaN or infinity"),
    ]
    for watched, target, message in cases:
        with pytest.raises(JumokError, match=message) as raised:
            watched.relevance(target, method=method)
        one_line(raised)
    logits[:, 0].sum().backward()
    with pytest.raises(JumokError, match="freed by a backward pass") as raised:
        seen.relevance(logits[:, 1], method=method)
    one_line(raised)


@pytest.mark.parametrize("method", ["chefer", "legrad", "input-x-gradient"])
def test_a_graph_that_a_backward_pass_freed_is_told(method):
    model = build(vit)
    with watch(model) as seen:
        logits = model(pixels()).logits
    logits[:, 0].sum().backward()
    with pytest.raises(JumokError, match="freed by a backward pass") as raised:
        seen.relevance(logits[:, 1], method=method)
    one_line(raised)


@pytest.mark.parametrize("method", ["libra", "lrp"])
def test_a_probability_is_no_target_for_rules_that_cut_the_softmax(method):
    model = build(vit)
    with watch(model) as seen:
        target = model(pixels()).logits.softmax(-1)[:, 1]
    with pytest.raises(JumokError, match="explain a logit, not a probability"):
        seen.relevance(target, method=method)


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion", "rise"])
def test_a_function_that_gives_something_else_is_one_line(method):
    model, given = build(Net), pixels()
    with watch(model) as seen:
        target = model(given)[:, 1]
    cases = [
        (lambda x: model(x), "one number per image"),
        (lambda x: model(x)[:, 1] * float("nan"), "NaN or infinity"),
        (lambda x: model(x)[:, 1] + 1, "explain the same number"),
    ]
    for forward, message in cases:
        with pytest.raises(JumokError, match=message) as raised:
            seen.relevance(target, method=method, inputs=given, forward=forward)
        one_line(raised)
