"""Sounds are read as one channel at the rate that is wanted, or refused in one line."""

import numpy as np
import pytest
from speech_models import RATE, make_sound, write_sound

from jumok.data.sounds import read_sound
from jumok.errors import JumokError


@pytest.mark.parametrize(("width", "near"), [(1, 1 / 128), (2, 1e-4), (3, 1e-6), (4, 1e-6)])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_of_every_width_are_read_as_they_were(tmp_path, width, near, channels):
    sound = make_sound(0.05)
    found = read_sound(write_sound(tmp_path / "a.wav", sound, width=width, channels=channels), RATE, 1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, sound, atol=near)


def test_channels_are_mixed_and_another_rate_is_resampled(tmp_path):
    time = np.arange(44_100) / 44_100
    tone = 0.5 * np.sin(2 * np.pi * 440 * time)
    found = read_sound(write_sound(tmp_path / "a.wav", tone, rate=44_100, channels=2), RATE, 2)
    assert len(found) == RATE
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    np.testing.assert_allclose(found[200:-200], wanted[200:-200], atol=2e-3)


def test_what_is_no_sound_is_refused_in_one_line(tmp_path):
    sound = make_sound(0.5)
    whole = write_sound(tmp_path / "whole.wav", sound)
    cases = {
        "nothing.wav": (None, "No such file"),
        "text.wav": (b"hello", "wanted .wav with PCM"),
        "empty.wav": (b"", "it ends early"),
        "cut.wav": (whole.read_bytes()[:4000], "ends early"),
        "float.wav": (whole.read_bytes().replace(b"\x01\x00\x01\x00", b"\x03\x00\x01\x00", 1), "unknown format"),
    }
    for name, (data, message) in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(JumokError, match=message) as found:
            read_sound(tmp_path / name, RATE, 1)
        assert "\n" not in str(found.value)
    with pytest.raises(JumokError, match=r"lasts 0.5 s, and this model hears 0.2 s at a time"):
        read_sound(whole, RATE, 0.2)
    with pytest.raises(JumokError, match="holds no sound"):
        read_sound(write_sound(tmp_path / "zero.wav", sound[:0]), RATE, 1)
