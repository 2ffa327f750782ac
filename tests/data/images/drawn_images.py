"""Pictures and their bytes for tests of reading."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from jumok.data.images.reading import read_image
from jumok.errors import JumokError


def pixels(array):
    return torch.from_numpy(np.ascontiguousarray(np.asarray(array, np.uint8).transpose(2, 0, 1)))


def picture(seed=0, height=40, width=56):
    noise = np.random.default_rng(seed).normal(0, 20, (height, width, 3))
    return (np.linspace(30, 220, width)[None, :, None] + noise).clip(0, 255).astype(np.uint8)


def encoded(array, form, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, rows):
    """A PNG file put together by hand, for kinds that Pillow cannot write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def read_bytes(folder, content, name="x.png"):
    path = folder / name
    path.write_bytes(content)
    return read_image(path)


def refused(folder, content, name="x.png"):
    with pytest.raises(JumokError) as caught:
        read_bytes(folder, content, name)
    message = str(caught.value)
    assert str(folder / name) in message
    assert "\n" not in message
    return message


HEIC = (  # 16 rows of 24, all (200, 30, 90)
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABoAABAAAAAAAAADEAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA/GlwcnAAAADcaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNs"
    "eAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAChjbGFwAAAAGAAAAAEAAAAQAAAAAf///9gAAAAC////0AAAAAIAAAAQcGl4"
    "aQAAAAADCAgIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAAOW1kYXQAAAAtKAGvEyFgY0D4EPdn/+Tbau8/7C7HpzshHcDSIICb"
    "QEiTXVALFhCAh3alVtz4"
)
