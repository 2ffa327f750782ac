import math

import pytest
import torch

from jumok.tasks.classify.augment import MOST_LIGHT, MOST_SHIFT, MOST_TURN, MOST_ZOOM, Augmentation, Draw, mixed
from jumok.tasks.running.training_module import mix_seed

CPU = torch.device("cpu")


def one_hot(labels, classes):
    return torch.nn.functional.one_hot(labels, classes).float()


def draw(step=0, count=64, first=0, last=64, seed=0):
    return Draw(seed, step, count, first, last, CPU)


def pictures(count=64, side=16):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "augmentation", [Augmentation(), Augmentation(False, "both", 1.0), Augmentation(True, "none", 0)]
)
def test_two_processes_see_what_one_sees(augmentation):
    images, labels = pictures(), torch.arange(64) % 3
    whole = augmentation(images, one_hot(labels, 3), draw())
    halves = [
        augmentation(images[at], one_hot(labels[at], 3), draw(first=at.start, last=at.stop))
        for at in (slice(0, 32), slice(32, 64))
    ]
    for part in (0, 1):
        torch.testing.assert_close(torch.cat([half[part] for half in halves]), whole[part])


def test_a_step_is_the_same_again_and_another_is_not():
    augmentation, images, labels = Augmentation(), pictures(), torch.arange(64) % 3
    once, again, next_step, other_seed = (
        augmentation(images, one_hot(labels, 3), draw(step, seed=seed))[0]
        for step, seed in ((5, 0), (5, 0), (6, 0), (5, 1))
    )
    assert torch.equal(once, again)
    assert not torch.equal(once, next_step)
    assert not torch.equal(once, other_seed)


def test_the_global_generators_are_neither_used_nor_moved():
    state = torch.get_rng_state()
    first = Augmentation()(pictures(), one_hot(torch.zeros(64, dtype=torch.int64), 2), draw())[0]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(9)
    assert torch.equal(Augmentation()(pictures(), one_hot(torch.zeros(64, dtype=torch.int64), 2), draw())[0], first)


def test_nothing_asked_for_changes_nothing():
    images, labels = pictures(), torch.arange(64) % 3
    same, targets = Augmentation(False, "none", 0)(images, one_hot(labels, 3), draw())
    assert torch.equal(same, images)
    assert torch.equal(targets.argmax(1), labels)
    assert torch.equal(targets.sum(1), torch.ones(64))


def test_flips_alone_are_exact_mirror_images():
    images = pictures()
    flipped, _ = Augmentation(False, "both", 0)(images, one_hot(torch.zeros(64, dtype=torch.int64), 2), draw())
    kinds = [
        torch.equal(flipped[i], variant)
        for i in range(64)
        for variant in (images[i], images[i].flip(-1), images[i].flip(-2), images[i].flip(-1, -2))
    ]
    counts = torch.tensor(kinds).reshape(64, 4).sum(0)
    assert counts.sum() == 64
    assert counts.min() >= 5
    across, _ = Augmentation(False, "horizontal", 0)(images, one_hot(torch.zeros(64, dtype=torch.int64), 2), draw())
    assert all(torch.equal(across[i], images[i]) or torch.equal(across[i], images[i].flip(-1)) for i in range(64))


@pytest.mark.parametrize("shape", [(32, 32), (16, 48)])
def test_warps_are_small_and_keep_shape_and_range(shape):
    """A dot in the middle never moves further than shift, turn and zoom allow."""
    height, width = shape
    images = torch.zeros(256, 3, height, width)
    images[..., height // 2 - 2 : height // 2 + 2, width // 2 - 2 : width // 2 + 2] = 1
    warped = Augmentation(True, "none", 0)._move(images, draw(count=256, last=256))
    assert warped.shape == images.shape
    assert warped.min() >= 0
    assert warped.max() <= 1
    mass = warped[:, 0] / warped[:, 0].sum((1, 2), keepdim=True)
    y = (mass.sum(2) * torch.arange(height)).sum(1) - (height - 1) / 2
    x = (mass.sum(1) * torch.arange(width)).sum(1) - (width - 1) / 2
    assert y.abs().max() <= MOST_SHIFT * height / (1 - MOST_ZOOM) + 1
    assert x.abs().max() <= MOST_SHIFT * width / (1 - MOST_ZOOM) + 1
    assert y.std() > 0.02 * height
    assert x.std() > 0.02 * width


def test_turns_keep_angles_in_images_that_are_not_square():
    """Turned, a square in the middle of a wide image stays a square: its spread is alike in both directions."""
    images = torch.zeros(128, 3, 32, 96)
    images[..., 12:20, 44:52] = 1
    warped = Augmentation(True, "none", 0)._move(images, draw(count=128, last=128))[:, 0]
    mass = warped / warped.sum((1, 2), keepdim=True)
    spreads = []
    for dim, size in ((2, 32), (1, 96)):
        places = torch.arange(size, dtype=torch.float32)
        line = mass.sum(dim)
        mean = (line * places).sum(1, keepdim=True)
        spreads.append((line * (places - mean) ** 2).sum(1).sqrt())
    torch.testing.assert_close(spreads[0], spreads[1], rtol=0.08, atol=0)
    assert MOST_TURN < 45


def test_light_changes_stay_in_bounds():
    images = torch.full((256, 3, 8, 8), 0.5)
    images[..., :4] = 0.6
    lit, _ = Augmentation(True, "none", 0)(images, torch.zeros(256, 2), draw(count=256, last=256))
    change = lit.mean((1, 2, 3)) - images.mean((1, 2, 3))
    assert change.abs().max() <= MOST_LIGHT / 2 + 0.03
    assert change.std() > MOST_LIGHT / 10


def test_mixing_blends_neighbours_and_their_targets_alike():
    images = torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 3, 2, 2)
    targets = torch.eye(5)
    share = torch.tensor([0.25, 0.25, 0.9, 0.9, 0.4])
    blended, labels = mixed(images, targets, share)
    torch.testing.assert_close(blended[:, 0, 0, 0], torch.tensor([0.75, 0.25, 2.1, 2.9, 4.0]))
    torch.testing.assert_close(labels.sum(1), torch.ones(5))
    torch.testing.assert_close(labels[0, :2], torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(labels[4], torch.eye(5)[4])


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 4.0])
def test_shares_have_the_betas_mean_and_variance(alpha):
    shares = torch.cat([draw(step, count=2000, last=2000).beta(alpha) for step in range(5)])
    assert shares.min() >= 0
    assert shares.max() <= 1
    assert torch.equal(shares[::2], shares[1::2])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.03)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.06)


def test_seeds_differ_by_every_part_and_fit_torch_and_numpy():
    seeds = {mix_seed(*parts) for parts in [(0,), (1,), (0, 0), (0, 1), (1, 0), (0, "1"), (0, 1, "augment")]}
    assert len(seeds) == 7
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert not math.isclose(mix_seed(0), mix_seed(1))


def test_all_flips_give_the_eight_symmetries_of_a_square():
    image = torch.arange(9.0).reshape(1, 1, 3, 3).expand(1, 3, 3, 3) / 9
    seen = set()
    for step in range(100):
        changed, _ = Augmentation(warp=False, mirror="all", mixup=0)(
            image, torch.zeros(1, 2), Draw(0, step, 1, 0, 1, torch.device("cpu"))
        )
        seen.add(tuple(changed[0, 0].flatten().tolist()))
    turned = [torch.rot90(side, k) for side in (image[0, 0], image[0, 0].flip(0)) for k in range(4)]
    assert seen == {tuple(t.flatten().tolist()) for t in turned}
