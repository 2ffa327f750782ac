import base64
import os
import struct

import numpy as np
import pytest
import torch
from drawn_images import HEIC, encoded, picture, pixels, png, read_bytes, refused
from PIL import ExifTags, Image, PngImagePlugin

from jumok.data.images import formats
from jumok.data.images.bit_depths import find_bits
from jumok.data.images.reading import image_size, open_image, read_image, resize
from jumok.errors import JumokError
from jumok.extras import install_extra

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
QUARTERS = np.array([[RED, GREEN, GREEN], [BLUE, WHITE, RED]], np.uint8)  # 2 rows of 3, no symmetry


def grey(array):
    return pixels(np.repeat(np.asarray(array, np.uint8)[..., None], 3, 2))


# -- formats and modes --------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_give_the_very_pixels(tmp_path, form, options):
    array = picture()
    assert torch.equal(read_bytes(tmp_path, encoded(array, form, **options)), pixels(array))


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_lossy_formats_come_close(tmp_path, form):
    array = np.full((16, 24, 3), (200, 30, 90), np.uint8)
    got = read_bytes(tmp_path, encoded(array, form, quality=95))
    assert got.shape == (3, 16, 24)
    assert got.dtype == torch.uint8
    assert (got.int() - pixels(array).int()).abs().max() <= 4


def test_the_content_decides_the_format_not_the_name(tmp_path):
    assert read_bytes(tmp_path, encoded(picture(), "JPEG"), "x.png").shape == (3, 40, 56)


def test_grey_becomes_three_equal_channels(tmp_path):
    values = picture()[..., 0]
    assert torch.equal(read_bytes(tmp_path, encoded(values, "PNG")), grey(values))


def test_one_bit_becomes_black_and_white(tmp_path):
    Image.fromarray(np.array([[True, False, True]])).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png")[0].tolist() == [[255, 0, 255]]


def test_a_palette_becomes_its_colours(tmp_path):
    Image.fromarray(QUARTERS).quantize(4, dither=Image.Dither.NONE).save(tmp_path / "x.png")
    assert torch.equal(read_image(tmp_path / "x.png"), pixels(QUARTERS))


def test_transparent_parts_are_laid_over_white(tmp_path):
    array = np.array([[(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 128)]], np.uint8)
    got = read_bytes(tmp_path, encoded(array, "PNG"))
    assert got.permute(1, 2, 0).tolist() == [[[255, 0, 0], [255, 255, 255], [127, 127, 127]]]


def test_grey_with_alpha_is_laid_over_white(tmp_path):
    Image.fromarray(np.array([[(10, 255), (10, 0)]], np.uint8), "LA").save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png")[1].tolist() == [[10, 255]]


def test_a_transparent_palette_entry_and_a_transparent_colour_become_white(tmp_path):
    Image.fromarray(QUARTERS).quantize(4).save(tmp_path / "p.png", transparency=bytes([0, 0, 0, 0]))
    assert (read_image(tmp_path / "p.png") == 255).all()
    Image.fromarray(QUARTERS).save(tmp_path / "c.png", transparency=RED)
    assert read_image(tmp_path / "c.png").permute(1, 2, 0)[0, 0].tolist() == list(WHITE)
    Image.fromarray(np.array([[7, 8]], np.uint8)).save(tmp_path / "g.png", transparency=7)
    assert read_image(tmp_path / "g.png")[0].tolist() == [[255, 8]]


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path, name):
    values = np.array([[0, 128, 257, 129, 40_000, 65_535]], np.uint16)
    Image.fromarray(values).save(tmp_path / name)
    assert read_image(tmp_path / name)[2].tolist() == [[0, 0, 1, 1, 156, 255]]


def test_sixteen_bit_grey_of_the_other_byte_order(tmp_path):
    Image.fromarray(np.array([[0, 65_535, 257 * 90]], ">u2")).save(tmp_path / "x.tif")
    assert read_image(tmp_path / "x.tif")[0].tolist() == [[0, 255, 90]]


def test_sixteen_bit_colour_is_scaled(tmp_path):
    row = struct.pack(">6H", 257 * 200, 257 * 100, 0, 65_535, 257, 0)
    got = read_bytes(tmp_path, png(2, 1, 16, 2, [row]))
    assert got.permute(1, 2, 0).tolist() == [[[200, 100, 0], [255, 1, 0]]]


def test_cmyk_becomes_rgb(tmp_path):
    array = np.zeros((8, 8, 4), np.uint8)
    array[..., 1:3] = 255  # magenta and yellow ink: red
    Image.fromarray(array, "CMYK").save(tmp_path / "x.tif")
    assert read_image(tmp_path / "x.tif")[:, 0, 0].tolist() == list(RED)


@pytest.mark.parametrize("values", [np.array([[0.5, 1.0]], np.float32), np.array([[5, 100_000]], np.int32)])
def test_32_bit_values_are_refused_with_the_way_out(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "x.tif")
    with pytest.raises(JumokError, match=r"x\.tif: its values are 32-bit.*save as 8-bit or 16-bit"):
        read_image(tmp_path / "x.tif")


def test_of_several_pages_or_frames_the_first_is_taken(tmp_path):
    first, second = Image.fromarray(QUARTERS), Image.fromarray(255 - QUARTERS)
    for name in ("x.tif", "x.png"):
        first.save(tmp_path / name, save_all=True, append_images=[second])
        assert torch.equal(read_image(tmp_path / name), pixels(QUARTERS))
    first.save(tmp_path / "x.webp", save_all=True, append_images=[second], lossless=True)
    assert torch.equal(read_image(tmp_path / "x.webp"), pixels(QUARTERS))


# -- orientation --------------------------------------------------------------------------------

STORED = {  # how a picture is stored that a viewer must turn so
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(tmp_path, form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](QUARTERS))
    options = {"lossless": True} if form == "WEBP" else {}
    assert torch.equal(read_bytes(tmp_path, encoded(stored, form, exif=exif, **options)), pixels(QUARTERS))
    assert image_size(tmp_path / "x.png") == QUARTERS.shape[:2]


def test_exif_orientation_of_a_jpeg_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = np.repeat(np.repeat(QUARTERS, 16, 0), 16, 1)
    got = read_bytes(tmp_path, encoded(np.rot90(upright, 1).copy(), "JPEG", exif=exif, quality=95), "x.jpg")
    assert got.shape == (3, 32, 48)
    assert (got[:, 8, 8].int() - torch.tensor(RED)).abs().max() < 30


@pytest.mark.parametrize("late", [False, True])
def test_the_size_of_a_png_is_told_upright_without_decoding_it(tmp_path, monkeypatch, late):
    """Its notes stand before its pixels, or after them, as some programs write them."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (24, 16)).save(tmp_path / "x.png", exif=exif)
    Image.new("RGB", (24, 16)).save(tmp_path / "plain.png")
    if late:
        (tmp_path / "x.png").write_bytes(put_notes_last((tmp_path / "x.png").read_bytes()))
    assert image_size(tmp_path / "x.png") == (24, 16) == tuple(read_image(tmp_path / "x.png").shape[1:])
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load_end", lambda _image: pytest.fail("decoded"))
    assert image_size(tmp_path / "plain.png") == (16, 24)
    assert late or image_size(tmp_path / "x.png") == (24, 16)


def put_notes_last(png):
    """The bytes of a PNG with its EXIF after its pixels."""
    begin = png.index(b"eXIf") - 4
    end = begin + 12 + int.from_bytes(png[begin : begin + 4], "big")
    last = png.index(b"IEND") - 4
    return png[:begin] + png[end:last] + png[begin:end] + png[last:]


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0", b"rubbish" * 9, b"Exif\0\0II*\0\xff\xff\xff\xff"]
)
def test_damaged_exif_does_not_lose_the_picture(tmp_path, exif):
    array = picture()
    assert torch.equal(read_bytes(tmp_path, encoded(array, "PNG", exif=exif)), pixels(array))


# -- sizes --------------------------------------------------------------------------------------


def test_open_image_gives_a_plain_rgb_image(tmp_path):
    (tmp_path / "x.png").write_bytes(encoded(picture()[..., 0], "PNG"))
    image = open_image(str(tmp_path / "x.png"))
    assert (image.mode, image.size) == ("RGB", (56, 40))


def test_resize_smooths_so_that_no_pixel_is_skipped():
    stripes = torch.zeros(3, 64, 64, dtype=torch.uint8)
    stripes[:, :, ::2] = 255
    small = resize(stripes, 8, 8)
    assert small.shape == (3, 8, 8)
    assert (small[:, :, 1:-1].int() - 127).abs().max() <= 3  # plain sampling would give 0 or 255


def test_resize_stretches_to_fit_and_keeps_a_flat_picture():
    flat = torch.tensor([10, 200, 77], dtype=torch.uint8)[:, None, None].expand(3, 20, 90)
    assert torch.equal(resize(flat, 33, 12), flat[:, :1, :1].expand(3, 33, 12))


def test_resize_to_the_same_size_changes_nothing():
    image = pixels(picture())
    assert resize(image, 40, 56) is image


@pytest.mark.parametrize("size", [(40, 56), (17, 90), (100, 9), (1, 1)])
def test_reading_at_a_size_equals_reading_and_resizing(tmp_path, size):
    (tmp_path / "x.png").write_bytes(encoded(picture(), "PNG"))
    assert torch.equal(read_image(tmp_path / "x.png", size), resize(read_image(tmp_path / "x.png"), *size))


def test_resize_refuses_what_is_no_picture():
    with pytest.raises(JumokError, match=r"\(3, height, width\) uint8 picture, got \(4, 4\) torch.float32"):
        resize(torch.zeros(4, 4), 2, 2)
    with pytest.raises(JumokError, match="at least 1 pixel, got 0 x 5"):
        resize(pixels(QUARTERS), 0, 5)


# -- one way in ---------------------------------------------------------------------------------


def each_way(path):
    """An image as a path, a text, its bytes and a Pillow image."""
    return path, str(path), path.read_bytes(), Image.open(path)


def save_kinds(folder):
    ramp = np.linspace(0, 65_535, 48).astype(np.uint16).reshape(6, 8)
    alpha = np.zeros((6, 8, 4), np.uint8)
    alpha[2:4, 2:6] = (200, 30, 30, 255)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(ramp).save(folder / "grey16.png")
    Image.fromarray(ramp // 16).save(folder / "grey12.tif")
    (folder / "deep.pgm").write_bytes(b"P5 8 6 65535\n" + ramp.astype(">u2").tobytes())
    Image.fromarray(alpha).save(folder / "alpha.png")
    Image.fromarray(picture(height=8, width=16)).save(folder / "turned.jpg", exif=exif)
    Image.fromarray(picture()).quantize(16).save(folder / "palette.png", transparency=3)
    Image.fromarray(picture()).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(picture()[..., 0] > 99).save(folder / "one-bit.png")
    return sorted(folder.iterdir())


def test_path_bytes_and_pillow_image_give_the_same_pixels(tmp_path):
    for path in save_kinds(tmp_path):
        first, *others = (read_image(given) for given in each_way(path))
        assert all(torch.equal(first, other) for other in others), path.name
        assert first.float().std() > 1, path.name


def test_a_pillow_image_stays_as_it_was(tmp_path):
    for path in save_kinds(tmp_path):
        given = Image.open(path)
        given.load()
        before = (given.mode, given.size, given.tobytes())
        opened = open_image(given)
        assert opened is not given
        assert (given.mode, given.size, given.tobytes()) == before


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((6, 8), kind) for kind in ("u1", "u2", "?")] + [((6, 8, channels), "u1") for channels in (1, 2, 3, 4)],
)
def test_an_array_gives_what_its_file_gives(tmp_path, shape, kind):
    values = np.random.default_rng(0).integers(0, 2 if kind == "?" else 256 ** int(kind[1]), shape).astype(kind)
    plain = values[..., 0] if shape[-1] == 1 else values
    mode = "LA" if shape[-1] == 2 else None
    (Image.fromarray(plain, mode) if mode else Image.fromarray(plain)).save(tmp_path / "x.png")
    assert torch.equal(read_image(values), read_image(tmp_path / "x.png"))
    assert torch.equal(read_image(values[:, ::-1]), read_image(tmp_path / "x.png").flip(2))


def test_sixteen_bits_of_colour_in_an_array_are_scaled():
    assert read_image(np.array([[[65_535, 257 * 90, 0]]], np.uint16))[:, 0, 0].tolist() == [255, 90, 0]


@pytest.mark.parametrize("values", [np.zeros((2, 2)), np.zeros((2, 2, 5), np.uint8), np.zeros((0, 2), np.uint8)])
def test_arrays_of_another_kind_are_refused(values):
    with pytest.raises(JumokError, match=r"cannot read the image: it is an array .* wanted \(height, width\)"):
        read_image(values)


# -- bits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "white"), [(8, 255), (10, 1023), (12, 4095), (14, 16_383), (16, 65_535)])
def test_the_bits_in_use_fill_the_range(tmp_path, bits, white):
    Image.fromarray(np.array([[0, white // 2, white]], np.uint16)).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png")[0].tolist() == [[0, 127, 255]]


def test_all_images_of_a_set_are_read_by_the_same_bits(tmp_path):
    for name, top in (("dark", 900), ("bright", 4000)):
        Image.fromarray(np.array([[0, top]], np.uint16)).save(tmp_path / f"{name}.png")
    paths = sorted(tmp_path.iterdir())
    assert find_bits(paths) == 12
    assert [int(read_image(path, bits=12).max()) for path in paths] == [249, 56]
    Image.fromarray(np.array([[0, 9]], np.uint8)).save(tmp_path / "plain.png")
    assert find_bits([tmp_path / "plain.png"]) is None
    assert find_bits([]) is None
    assert read_image(np.array([[5000]], np.uint16), bits=12).max() == 255


# -- more formats -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.gif", "x.ppm", "x.avif"])
def test_more_formats_are_read(tmp_path, name):
    array = np.full((16, 24, 3), (200, 30, 90), np.uint8)
    Image.fromarray(array).save(tmp_path / name)
    got = read_image(tmp_path / name)
    assert got.shape == (3, 16, 24)
    assert (got.int() - pixels(array).int()).abs().max() <= 6


def test_of_a_moving_gif_the_first_frame_is_taken(tmp_path):
    first, second = Image.fromarray(QUARTERS), Image.fromarray(255 - QUARTERS)
    first.save(tmp_path / "x.gif", save_all=True, append_images=[second])
    assert torch.equal(read_image(tmp_path / "x.gif"), pixels(QUARTERS))


def test_heic_is_read_where_its_plug_in_is_there(tmp_path):
    pytest.importorskip("pi_heif")
    (tmp_path / "x.heic").write_bytes(base64.b64decode(HEIC))
    got = read_image(tmp_path / "x.heic")
    assert got.shape == (3, 16, 24)
    assert (got.int() - torch.tensor([200, 30, 90])[:, None, None]).abs().max() <= 3
    assert image_size(tmp_path / "x.heic") == (16, 24)


def test_an_image_of_a_format_that_needs_a_plug_in_says_which(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "reads_heic", lambda: False)
    assert f"HEIC needs pi-heif: {install_extra('heic')}" in refused(tmp_path, b"\0\0\0\x18ftypheic" + bytes(20))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(JumokError, match=r"x\.png: it is not a plain file but a pipe or device"):
        read_image(tmp_path / "x.png")
    assert image_size(tmp_path / "x.png") is None
