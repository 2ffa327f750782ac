"""What mechanisms tell of themselves: axes and scales as they were said, image by image where these differ."""

import pytest
import torch
from torch import nn

from jumok.attention import Channels, Glimpses, One, Scale
from jumok.errors import JumokError
from jumok.tasks.classify.any_classifier import AnyClassifier
from jumok.tasks.classify.looking import LookOptions, look
from jumok.tasks.classify.preparation import Stretched
from jumok.tasks.preprocessing import Preprocessing
from jumok.watching.watch import watch
from jumok.watching.watchers import is_watched, report, unseen


class Gated(nn.Module):
    """Reports a gate over channels, and glimpses that differ from image to image."""

    def forward(self, pixels):
        gates = pixels.mean((2, 3)).sigmoid()
        report(gates[:, None], (One("image"), Channels(("r", "g", "b"))), Scale.GATE)
        centres = [((0.0, number / 4),) for number in range(len(pixels))]
        keys = tuple(Glimpses(centre, ((0.5, 0.5),)) for centre in centres)
        report(pixels.new_ones(len(pixels), 1, 1), (One("image"), keys))
        return gates


def test_reported_axes_and_scale_come_back_as_they_were_said():
    pixels = torch.rand(3, 3, 8, 8)
    model = Gated()
    with watch(model) as seen:
        gates = model(pixels)
    assert seen[0].scale is Scale.GATE
    assert seen[0].keys == Channels(("r", "g", "b"))
    torch.testing.assert_close(seen[0].weights[:, 0], gates)
    assert seen.in_image() == seen.names[1:]
    assert [seen.of_image(-1, number).keys.centres[0][1] for number in range(3)] == [0.0, 0.25, 0.5]
    torch.testing.assert_close(seen.of_image(0, 2).weights[0], gates[2])


def test_keys_of_several_images_are_not_one_map():
    model = Gated()
    with watch(model) as seen:
        model(torch.rand(2, 3, 8, 8))
    with pytest.raises(JumokError, match=r"choose one with seen.of_image"):
        seen[-1]
    with pytest.raises(JumokError, match="batch=2 is outside the 2 images"):
        seen.of_image(-1, 2)
    with pytest.raises(JumokError, match="no attention between tokens was seen"):
        seen.rollout()


def test_nothing_is_watched_outside_the_block():
    assert not is_watched()
    with watch(Gated()):
        assert is_watched()
        with unseen():
            assert not is_watched()


def test_methods_that_fit_are_found_and_others_refused():
    class Two(nn.Module):
        def forward(self, pixels):
            keys = tuple(Glimpses(((0.0, 0.0), (0.5, 0.5)), ((0.5, 0.5),) * 2) for _ in pixels)
            report(pixels.new_full((len(pixels), 1, 2), 0.5), (One("image"), keys))
            return pixels.mean((2, 3))

    opened = AnyClassifier(
        "two", Two(), ("a", "b", "c"), Stretched(Preprocessing((8, 8), (0.0,) * 3, (1.0,) * 3)), lambda logits: logits
    )
    opened.model.register_parameter("one", nn.Parameter(torch.zeros(1)))
    images = [torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8) for _ in range(2)]
    answers = look(opened, images, LookOptions())
    assert [list(answer.heats) for answer in answers] == [["attention"]] * 2
    assert answers[1].heats["attention"].keys.centres == ((0.0, 0.0), (0.5, 0.5))
    with pytest.raises(JumokError, match="no attention between tokens was seen"):
        look(opened, images, LookOptions(("rollout",)))
