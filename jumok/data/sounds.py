"""Sounds from .wav files, as one channel at the rate that a model takes."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jumok.errors import JumokError

__all__ = ["SUFFIX", "read_sound"]

SUFFIX = ".wav"
LARGEST_RATE = 768_000
"""Samples a second that a file may have."""


def read_sound(path: Path, rate: int, longest: float) -> NDArray[np.float32]:
    """Read a sound of whole numbers (PCM), mix its channels, and bring it to a rate.

    Args:
        path: of a .wav file.
        rate: samples a second that are wanted.
        longest: seconds that it may last.
    Returns:
        (samples,) from -1 to 1.
    Raises:
        JumokError: no such file, no PCM, empty, cut short or too long.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, own, count = file.getparams()[:4]
            _check(path, own, count, longest)
            data = file.readframes(count)
    except (wave.Error, EOFError, OSError) as error:
        why = str(error) or "it ends early"
        raise JumokError(f"cannot read {path} as a sound ({why}): wanted .wav with PCM, from 8 to 32 bits") from error
    if len(data) < count * channels * width:
        raise JumokError(f"{path} ends early: its head tells of {count / own:.2f} s, and {len(data)} bytes are there")
    mono = _decode(data, width).reshape(-1, channels).mean(1, dtype=np.float32)
    return mono if own == rate else _resample(mono, own, rate)


def _check(path: Path, rate: int, count: int, longest: float) -> None:
    if not 0 < rate <= LARGEST_RATE:
        raise JumokError(f"{path} has {rate:,} samples a second: wanted at most {LARGEST_RATE:,}")
    if count == 0:
        raise JumokError(f"{path} holds no sound: it lasts 0 s")
    if count / rate > longest:
        raise JumokError(
            f"{path} lasts {count / rate:.1f} s, and this model hears {longest:g} s at a time: cut it into parts"
        )


def _decode(data: bytes, width: int) -> NDArray[np.float32]:
    """Samples of 1 to 4 bytes, from -1 to 1; those of one byte have their zero at 128."""
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - np.float32(128)) / np.float32(128)
    wide = np.zeros((len(data) // width, 4), np.uint8)
    wide[:, 4 - width :] = np.frombuffer(data, np.uint8).reshape(-1, width)  # the high bytes of 32 bits
    return (wide.reshape(-1).view("<i4") / 2**31).astype(np.float32)


def _resample(sound: NDArray[np.float32], own: int, wanted: int) -> NDArray[np.float32]:
    from scipy.signal import resample_poly

    common = math.gcd(own, wanted)
    found: NDArray[np.float32] = resample_poly(sound, wanted // common, own // common).astype(np.float32)
    return found
