"""Colours of 16 bits: the same pixels from a path, bytes, Pillow and an array, whatever part of the range they use."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from jumok.data.images.bit_depths import describe_bits, find_bits
from jumok.data.images.reading import image_size, open_image, read_image
from jumok.errors import JumokError

COLOUR_TYPE = {2: 4, 3: 2, 4: 6}
"""Of PNG, by the number of channels."""


def make_values(channels=3, top=65_535, height=5, width=7):
    values = np.random.default_rng(0).integers(0, top + 1, (height, width, channels)).astype(np.uint16)
    values[0, 0] = top
    if channels in (2, 4):
        values[..., -1] = np.array([0, 65_535])[np.arange(width) % 2]
    return values


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(values, more=b""):
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPE[channels], 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in values))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def write_tiff(values, order="<", *, packed=False, planes=False, orientation=1):
    height, width, channels = values.shape
    whole = values.astype(f"{order}u2")
    strips = (
        [np.ascontiguousarray(whole[..., number]).tobytes() for number in range(channels)]
        if planes
        else [whole.tobytes()]
    )
    strips = [zlib.compress(strip) for strip in strips] if packed else strips
    begin = 8
    offsets = [begin + sum(map(len, strips[:number])) for number in range(len(strips))]
    after = begin + sum(map(len, strips))
    after += after % 2
    tail, entries = b"", []

    def add(tag, kind, *numbers):
        nonlocal tail
        data = struct.pack(f"{order}{len(numbers)}{'HI'[kind == 4]}", *numbers)
        if len(data) > 4:
            data, tail = struct.pack(f"{order}I", after + len(tail)), tail + data
        entries.append(struct.pack(f"{order}HHI", tag, kind, len(numbers)) + data.ljust(4, b"\0"))

    add(256, 3, width)
    add(257, 3, height)
    add(258, 3, *[16] * channels)
    add(259, 3, 8 if packed else 1)
    add(262, 3, 2)
    add(273, 4, *offsets)
    add(274, 3, orientation)
    add(277, 3, channels)
    add(278, 3, height)
    add(279, 4, *map(len, strips))
    add(284, 3, 2 if planes else 1)
    if channels == 4:
        add(338, 3, 2)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", after + len(tail))
    body = (head + b"".join(strips)).ljust(after, b"\0") + tail
    return body + struct.pack(f"{order}H", len(entries)) + b"".join(entries) + struct.pack(f"{order}I", 0)


FILES = {
    "png": write_png,
    "tiff": write_tiff,
    "big-endian tiff": lambda values: write_tiff(values, ">"),
    "packed tiff": lambda values: write_tiff(values, packed=True),
    "packed big-endian tiff": lambda values: write_tiff(values, ">", packed=True),
}


@pytest.mark.parametrize("top", [1023, 4095, 65_535])
@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("channels", [3, 4])
def test_path_bytes_pillow_and_array_give_the_same_pixels(tmp_path, kind, channels, top):
    values = make_values(channels, top)
    content = FILES[kind](values)
    path = tmp_path / "x"
    path.write_bytes(content)
    wanted = read_image(values)
    assert torch.equal(read_image(path), wanted)
    assert torch.equal(read_image(content), wanted)
    with Image.open(io.BytesIO(content)) as opened:
        assert torch.equal(read_image(opened), wanted)
        assert torch.equal(read_image(opened), wanted)
    if channels == 3:
        exact = np.rint(values.astype(np.float64) * 255 / top)
        assert np.array_equal(wanted.permute(1, 2, 0).numpy(), exact)


def test_grey_with_alpha_keeps_its_bits(tmp_path):
    values = make_values(2, 4095)
    path = tmp_path / "x.png"
    path.write_bytes(write_png(values))
    assert torch.equal(read_image(path), read_image(values))
    assert (read_image(path)[:, :, 0] == 255).all()


def test_dark_pictures_of_twelve_bits_are_no_longer_black(tmp_path):
    for name, top in (("dark", 900), ("bright", 4000)):
        (tmp_path / f"{name}.png").write_bytes(write_png(make_values(3, top)))
    paths = sorted(tmp_path.iterdir())
    assert find_bits(paths) == 12
    assert [int(read_image(path, bits=12).max()) for path in paths] == [249, 56]


def test_alpha_does_not_count_among_the_bits_in_use(tmp_path):
    (tmp_path / "x.png").write_bytes(write_png(make_values(4, 4095)))
    assert find_bits([tmp_path / "x.png"]) == 12


def test_one_transparent_colour_becomes_white(tmp_path):
    values = make_values()
    key = struct.pack(">3H", *values[2, 3].tolist())
    got = read_image(write_png(values, chunk(b"tRNS", key))).permute(1, 2, 0)
    assert got[2, 3].tolist() == [255, 255, 255]
    assert got[1, 1].tolist() == read_image(values)[:, 1, 1].tolist()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_orientation_is_applied(tmp_path, orientation):
    values = make_values()
    path = tmp_path / "x.tif"
    path.write_bytes(write_tiff(values, orientation=orientation))
    turned = np.rot90(values, {1: 0, 3: 2, 6: -1, 8: 1}[orientation])
    assert torch.equal(read_image(path), read_image(np.ascontiguousarray(turned)))
    assert image_size(path) == turned.shape[:2]


def test_what_pillow_has_opened_stays_undecoded():
    content = write_png(make_values())
    with Image.open(io.BytesIO(content)) as opened:
        assert open_image(opened).size == opened.size
        assert opened.tile  # it was not decoded


@pytest.mark.parametrize("packed", [False, True])
def test_planes_are_refused_rather_than_misread(tmp_path, packed):
    path = tmp_path / "x.tif"
    path.write_bytes(write_tiff(make_values(), planes=True, packed=packed))
    with pytest.raises(JumokError, match=r"x\.tif: its 16-bit colours lie in separate planes.*save them interleaved"):
        read_image(path)


def test_a_cut_file_is_refused():
    content = write_png(make_values(height=200, width=200))
    with pytest.raises(JumokError, match="cannot read the image"):
        read_image(content[:3000])


def test_of_16_bit_images_it_is_told_by_which_bits_they_are_read_and_what_is_lost(tmp_path):
    for name, top in (("a", 4095), ("b", 65_535)):
        (tmp_path / f"{name}.png").write_bytes(write_png(make_values(3, top)))
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    paths = sorted(tmp_path.iterdir())
    assert describe_bits([paths[2]], 12) == describe_bits([], None) == []
    assert describe_bits(paths, 16) == ["16-bit images are read by the 16 bits of the training: 65,535 is white"]
    (clipped,) = describe_bits(paths, 12)
    assert "1 of 2 looked at have larger values, up to 65,535, which all become white" in clipped
    assert "by the bits that each one's values use" in describe_bits(paths, None)[0]


def test_large_images_are_read_in_parts_to_the_same_pixels(tmp_path, monkeypatch):
    files = {
        **{f"deep{channels}": write_png(make_values(channels, height=9, width=40)) for channels in (2, 3, 4)},
        "key": write_png(
            make_values(3, height=9, width=40), chunk(b"tRNS", make_values(3)[0, 0].astype(">u2").tobytes())
        ),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    whole = {name: read_image(tmp_path / name) for name in files}
    monkeypatch.setattr("jumok.data.images.deep_colours.PIXELS_AT_ONCE", 16)
    for name in files:
        assert torch.equal(read_image(tmp_path / name), whole[name]), name
