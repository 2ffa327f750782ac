"""RAM: where it looks, what it learns from, and what it is held against."""

import pytest
import torch
import torch.nn.functional as F

from jumok.attention import Glimpses, One
from jumok.errors import JumokError
from jumok.mechanisms.glimpse import place_windows
from jumok.mechanisms.recurrent.glimpse_steps import squash_aims
from jumok.systems import configure
from jumok.systems.ram import RAM, RAMConfig
from jumok.watching.watch import watch

SMALL = {"classes": 3, "image_size": 16, "channels": 1, "hidden": 24, "what": 20, "where": 12, "plan": 10}


def make(**options):
    torch.manual_seed(0)
    return RAM(RAMConfig(**{**SMALL, **options}))


def images(count=4, side=16, channels=1):
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(1))


def targets(count=4):
    return F.one_hot(torch.arange(count) % 3, 3).float()


@pytest.mark.parametrize(
    "options", [{}, {"scales": 1, "size": 5}, {"glimpses": 1}, {"samples": 3}, {"glimpses": 2}, {"policy_rate": 1}]
)
def test_the_fast_steps_equal_plain_ones_gradients_included(options):
    model, pixels = make(**options), images()
    samples, steps = model.config.samples, model.config.glimpses
    rows = torch.arange(4).repeat_interleave(samples) if samples > 1 else None
    noise = torch.randn(steps - 1, 4 * samples, 2)
    plain = model.walk(pixels if rows is None else pixels[rows], noise)
    fast = model._training_walk(pixels, noise, rows)
    found = []
    for walk in (plain, fast):
        for left, right in zip(walk, plain, strict=True):
            torch.testing.assert_close(left, right)
        model.zero_grad()
        (walk.states.square().sum() + (walk.aims * noise).sum()).backward()
        found.append({name: value.grad for name, value in model.named_parameters() if value.grad is not None})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-4, rtol=1e-4)
    if steps > 1:
        assert found[0].keys() == found[1].keys()
        assert all(gradient.abs().sum() > 0 for gradient in found[1].values())


def test_the_loss_is_the_papers_by_hand():
    """Cross-entropy, policy_weight x REINFORCE and the baseline's error, by definition, one scanpath at a time."""
    model, pixels, wanted = make(policy_weight=0.7, early_weight=0.3, samples=2, std=0.3), images(), targets()
    torch.manual_seed(5)
    loss = model.loss(pixels, wanted)
    torch.manual_seed(5)
    noise = torch.randn(5, 8, 2)
    total = 0.0
    for row in range(8):
        image, target = pixels[row // 2 : row // 2 + 1], wanted[row // 2]
        walk = model.walk(image, noise[:, row : row + 1])
        odds = model.classify(walk.states[:, 0]).softmax(-1)
        reward = (odds[-1] * target).sum().item()
        total = total - (target * odds[-1].log()).sum() - 0.3 * (target * odds[:-1].log()).sum(-1).mean()
        for step in range(5):
            mean, place = squash_aims(walk.aims[step, 0] + model._habit()[step]), walk.places[step + 1, 0]
            u = torch.atanh(place.double())
            normal = torch.distributions.Normal(mean.double(), 0.3)
            density = (normal.log_prob(u) - torch.log(1 - place.double().square())).sum()
            expected = model.baseline(walk.states[step, 0])[0]
            total = total - 0.7 * density * (reward - expected.item()) + (reward - expected).square() / 5
    torch.testing.assert_close(loss.double(), total / 8, atol=1e-5, rtol=1e-5)


def test_each_part_learns_from_its_own_share_of_the_loss():
    """The choice of places learns by REINFORCE alone, what reads and names by cross-entropy alone."""
    model = make(policy_weight=0.0)
    model.loss(images(), targets()).backward()
    assert model.aim.weight.grad.abs().sum() == 0
    assert model.plan.weight.grad.abs().sum() == 0
    without = {name: value.grad.clone() for name, value in model.named_parameters()}
    model = make(policy_weight=5.0)
    torch.manual_seed(3)
    model.loss(images(), targets()).backward()
    with_policy = {name: value.grad for name, value in model.named_parameters()}
    assert with_policy["aim.weight"].abs().sum() > 0
    model = make(policy_weight=0.0)
    torch.manual_seed(3)
    model.loss(images(), targets()).backward()
    for name, value in model.named_parameters():
        if not name.startswith(("aim", "plan", "habit")):
            torch.testing.assert_close(with_policy[name], value.grad)
    assert without.keys() == with_policy.keys()


def test_autocast_and_traced_pixels_take_the_plain_way_to_the_same_loss():
    model = make()
    torch.manual_seed(0)
    fast = model.loss(images(), targets())
    pixels = images().requires_grad_()
    torch.manual_seed(0)
    plain = model.loss(pixels, targets())
    torch.testing.assert_close(plain, fast)
    plain.backward()
    assert pixels.grad.abs().sum() > 0
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.loss(images(), targets()).item() == pytest.approx(fast.item(), rel=0.2)


def test_training_draws_places_and_eval_is_the_same_whatever_the_batch():
    model = make()
    model.train()
    assert not torch.equal(model(images()), model(images()))
    model.eval()
    together = model(images())
    assert torch.equal(model(images()), together)
    alone = torch.cat([model(image[None]) for image in images()])
    torch.testing.assert_close(alone, together)


@pytest.mark.parametrize("places", ["best", "sampled", "random", "middle"])
def test_every_way_of_looking_is_repeatable_and_of_each_image_alone(places):
    model = make().eval()
    together = model.scan(images(), places, samples=3)
    state = torch.get_rng_state()
    alone = torch.cat([model.scan(image[None], places, samples=3) for image in images()])
    torch.testing.assert_close(alone, together)
    assert torch.equal(torch.get_rng_state(), state)


def test_several_scanpaths_average_their_probabilities():
    model = make(std=0.5).eval()
    ones = [model._scan(images(), "sampled", seed)[0].softmax(-1) for seed in range(4)]
    together = model.scan(images(), "sampled", samples=4)
    torch.testing.assert_close(together.exp(), torch.stack(ones).mean(0))
    averaged = make(std=0.5, averaged=4).eval()
    averaged.load_state_dict(model.state_dict())
    torch.testing.assert_close(averaged(images()), together)


def test_watchers_see_the_scanpath_that_was_taken():
    model = make(glimpses=3, scales=2).eval()
    torch.nn.init.normal_(model.aim.weight, std=200.0)  # so that the places differ
    with watch(model) as seen:
        watched = model(images())
    assert torch.equal(watched, model(images()))
    assert seen.names == seen.in_image()
    assert len(seen.names) == 1, "the RNN's products are no attention"
    places = model.walk(images()).places.transpose(0, 1)
    centres, widths = place_windows(places, (16, 16), model.config.fovea, 2)
    for number in range(4):
        found = seen.of_image(0, number)
        assert found.queries == One("image")
        assert isinstance(found.keys, Glimpses)
        assert found.weights.tolist() == [[pytest.approx(1 / 6)] * 6]
        torch.testing.assert_close(torch.tensor(found.keys.centres[::2]), centres[number])
        assert found.keys.sizes[:2] == tuple((width / 16, width / 16) for width in widths)
    assert len({seen.of_image(0, number).keys.centres for number in range(4)}) > 1, "each image has its own"


def test_controls_share_the_weights_and_look_elsewhere():
    model = make().eval()
    torch.nn.init.normal_(model.aim.weight, std=200.0)
    controls = model.controls()
    assert list(controls) == ["random places", "all in the middle", "one drawn scanpath"]
    before = {name: control(images()) for name, control in controls.items()}
    assert all(not torch.allclose(logits, model(images())) for logits in before.values())
    with watch(controls["all in the middle"]) as seen:
        controls["all in the middle"](images())
    assert set(seen.of_image(0, 0).keys.centres) == {(0.0, 0.0)}
    with watch(controls["random places"]) as seen:
        controls["random places"](images())
    centres = torch.tensor([seen.of_image(0, number).keys.centres for number in range(4)])
    assert centres[:, 0].eq(0).all(), "the first glimpse is the middle as always"
    assert centres[:, 1:].std() > 0.3
    with torch.no_grad():
        model.classify.bias.add_(1.0 * torch.arange(3))
    assert all(not torch.equal(controls[name](images()), logits) for name, logits in before.items())
    assert "likeliest scanpath" in make(averaged=2).controls()


def test_it_learns_where_to_look():
    """A dot in the middle says in which of four corners the sign is, and there is one more glimpse to read it."""
    torch.manual_seed(0)
    draw = torch.Generator().manual_seed(0)

    def batch(count):
        corner, kind = torch.randint(0, 4, (count,), generator=draw), torch.randint(0, 2, (count,), generator=draw)
        row, y, x = torch.arange(count), corner // 2, corner % 2
        pixels = torch.zeros(count, 1, 16, 16)
        pixels[row, 0, 7 + y, 7 + x] = 3.0  # one of the middle's four pixels
        pixels[row, 0, 3 + 9 * y, 3 + 9 * x] = 6.0 * kind - 3  # out of the first glimpse's sight
        return pixels, kind

    model = make(
        classes=2, glimpses=2, size=6, scales=1, std=0.5, samples=4, policy_rate=0.25, hidden=32, what=32, where=16,
        plan=32,
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(300):
        optimiser.param_groups[0]["lr"] = 3e-3 * min(1, (300 - step) / 150)
        pixels, kind = batch(64)
        loss = model.loss(pixels, F.one_hot(kind, 2).float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    pixels, kind = batch(500)
    right = {name: (each(pixels).argmax(-1) == kind).float().mean() for name, each in model.controls().items()}
    assert (model(pixels).argmax(-1) == kind).float().mean() > 0.8
    assert right["all in the middle"] < 0.7
    assert right["random places"] < 0.8


@pytest.mark.parametrize(
    ("side", "fovea", "scales"), [(28, 6, 3), (64, 14, 3), (60, 12, 3), (224, 16, 3), ((48, 96), 10, 3), (4, 2, 1)]
)
def test_a_retina_that_suits_the_image(side, fovea, scales):
    config = RAMConfig(classes=2, image_size=side)
    assert config.fovea == fovea
    assert config.windows in (scales, scales - 1, scales + 1)
    shorter = side if isinstance(side, int) else min(side)
    assert shorter / 2 <= fovea << (config.windows - 1) <= 2 * shorter


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: configure("ram", classes=2, size=5, scales=2), "size 5 is odd"),
        (lambda: configure("ram", classes=2, image_size=8, size=16, scales=3), "far out of an image of 8"),
        (lambda: make()(torch.zeros(2, 3, 16, 16)), r"\(2, 3, 16, 16\), wanted \(batch, 1, height, width\)"),
        (lambda: make()(torch.zeros(2, 16, 16)), r"\(2, 16, 16\), wanted"),
        (lambda: make()(torch.zeros(2, 1, 16, 16, dtype=torch.uint8)), "wanted float"),
        (lambda: make().loss(images(), torch.zeros(4, 2)), r"targets have shape \(4, 2\), wanted \(4, 3\)"),
    ],
)
def test_what_does_not_fit_raises_in_one_line(call, words):
    with pytest.raises(JumokError, match=words):
        call()


def test_another_size_of_image_can_be_shown():
    model = make().eval()
    assert model(images(side=24)).shape == (4, 3)
    assert bool(model(images(side=24)).isfinite().all())
