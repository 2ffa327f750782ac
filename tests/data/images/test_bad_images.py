import bz2
import gzip
import lzma

import pytest
import torch
from drawn_images import encoded, picture, png, read_bytes, refused
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from jumok.data.images.masks import read_mask
from jumok.data.images.reading import MAX_PIXELS, open_image, read_image
from jumok.errors import JumokError


def test_an_empty_file_is_named(tmp_path):
    assert "it is empty (0 bytes)" in refused(tmp_path, b"")


@pytest.mark.parametrize("content", [b"just some words\n", b"%!PS-Adobe-3.0 EPSF-3.0\n", bytes(500)])
def test_what_is_no_picture_of_the_known_formats_is_named(tmp_path, content):
    assert "not a PNG, JPEG, WebP, BMP, TIFF, GIF, PPM, AVIF or HEIC image" in refused(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [gzip.compress(b"x", mtime=0), bz2.compress(b"x"), lzma.compress(b"x"), b"PK\x03\x04..."],
    ids=["gzip", "bzip2", "xz", "zip"],
)
def test_an_archive_is_to_be_unpacked(tmp_path, content):
    assert refused(tmp_path, content).endswith("it is an archive, no image: unpack it, and give the folder")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(JumokError, match=r"none\.png: No such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(JumokError, match="it is a folder"):
        read_image(tmp_path)


KINDS = {
    "png": ("PNG", {}),
    "jpg": ("JPEG", {}),
    "progressive.jpg": ("JPEG", {"progressive": True}),
    "webp": ("WEBP", {}),
    "lossless.webp": ("WEBP", {"lossless": True}),
    "bmp": ("BMP", {}),
    "tif": ("TIFF", {}),
    "lzw.tif": ("TIFF", {"compression": "tiff_lzw"}),
    "deflate.tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_is_never_a_half_grey_picture(tmp_path, kind):
    form, options = KINDS[kind]
    whole = encoded(picture(), form, **options)
    right = read_bytes(tmp_path, whole, f"x.{kind}")
    refusals = 0
    for length in [*range(1, len(whole), len(whole) // 40), *range(len(whole) - 12, len(whole))]:
        try:
            got = read_bytes(tmp_path, whole[:length], f"x.{kind}")
        except JumokError:
            refusals += 1
        else:  # only what comes after the pixels is missing
            assert torch.equal(got, right)
    assert refusals > 30


@pytest.mark.parametrize("kind", ["png", "jpg", "progressive.jpg"])
def test_a_file_filled_up_with_zeros_is_refused(tmp_path, kind):
    form, options = KINDS[kind]
    whole = encoded(picture(), form, **options)
    half = len(whole) // 2
    assert "end is missing" in refused(tmp_path, whole[:half] + bytes(len(whole) - half))
    assert torch.equal(read_bytes(tmp_path, whole + bytes(3000)), read_bytes(tmp_path, whole))


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: pytest.fail("decoded"))
    just_over = png(10_000, MAX_PIXELS // 10_000 + 1, 8, 2, [b""])
    assert f"more than the {MAX_PIXELS} allowed" in refused(tmp_path, just_over)
    for width, height in ((50_000, 50_000), (2**31 - 1, 2**31 - 1)):  # Pillow's own alarm
        assert f"more than the {MAX_PIXELS}" in refused(tmp_path, png(width, height, 8, 2, [b""]))


@pytest.mark.filterwarnings("error")
def test_a_size_at_which_pillow_warns_is_refused_also_where_warnings_are_errors(tmp_path):
    assert f"more than the {MAX_PIXELS}" in refused(tmp_path, png(10_000, 10_000, 8, 2, [b""]))


def test_the_limit_on_pixels_can_be_chosen(tmp_path):
    (tmp_path / "x.png").write_bytes(encoded(picture(), "PNG"))
    assert open_image(tmp_path / "x.png", max_pixels=40 * 56).size == (56, 40)
    with pytest.raises(JumokError, match="56 x 40 pixels are more than the 2239 allowed"):
        open_image(tmp_path / "x.png", max_pixels=40 * 56 - 1)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.data())
def test_whatever_the_bytes_the_answer_is_a_picture_or_a_clear_error(tmp_path_factory, kind, data):
    form, options = KINDS[kind]
    content = bytearray(encoded(picture(height=8, width=8), form, **options))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    try:
        got, message = read_image(path), ""
    except JumokError as error:
        got, message = None, str(error)
    assert str(path) in message if got is None else (got.dtype == torch.uint8 and got.shape[0] == 3)


@pytest.mark.parametrize("notes", [{"a": "x" * 3_000_000}, {f"{n}": "x" * 1_000_000 for n in range(70)}])
def test_notes_that_would_fill_the_memory_are_told_in_words_of_our_own(tmp_path, notes):
    text = PngImagePlugin.PngInfo()
    for name, said in notes.items():
        text.add_text(name, said, zip=True)
    Image.fromarray(picture()).save(tmp_path / "x.png", pnginfo=text)
    why = "it holds notes of more text than is read beside pixels; save it again without them"
    for read, what in ((read_image, "cannot read"), (read_mask, "cannot read the mask")):
        with pytest.raises(JumokError) as caught:
            read(tmp_path / "x.png")
        assert str(caught.value) == f"{what} {tmp_path / 'x.png'}: {why}"


def test_an_empty_mask_file_is_called_empty(tmp_path):
    (tmp_path / "m.png").touch()
    with pytest.raises(JumokError, match=r"m\.png: it is empty \(0 bytes\); replace or remove it"):
        read_mask(tmp_path / "m.png")
