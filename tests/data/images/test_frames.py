import io
import os

import numpy as np
import pytest
from PIL import Image

from jumok.data.images.frames import describe_frames, has_frames

PAGES = [Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 24, 3), np.uint8)) for seed in range(3)]


def as_file(form, pages, **options):
    first, *rest = pages
    file = io.BytesIO()
    first.save(file, form, **({"save_all": True, "append_images": rest} if rest else {}), **options)
    return file.getvalue()


@pytest.mark.parametrize("form", ["TIFF", "GIF", "PNG", "WEBP"])
@pytest.mark.parametrize("count", [1, 3])
def test_more_than_the_first_frame_is_noticed(tmp_path, form, count):
    path = tmp_path / "image.png"  # the content decides, not the ending
    path.write_bytes(as_file(form, PAGES[:count]))
    assert has_frames(path) is (count > 1)


def test_previews_and_smaller_copies_are_no_frames(tmp_path):
    previews = tmp_path / "camera.jpg"
    previews.write_bytes(as_file("MPO", PAGES[:2]))
    assert Image.open(previews).n_frames == 2
    assert not has_frames(previews)
    pyramid = tmp_path / "pyramid.tif"
    small = PAGES[0].resize((12, 10))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    pyramid.write_bytes(as_file("TIFF", [PAGES[0], small]))
    assert Image.open(pyramid).n_frames == 2
    assert not has_frames(pyramid)


def test_what_cannot_be_read_has_no_frames(tmp_path):
    whole = as_file("GIF", PAGES)
    for name, content in {"empty": b"", "text": b"words", "cut": whole[:40], "tiff": b"II*\0\xff\xff\xff\xff"}.items():
        (tmp_path / name).write_bytes(content)
        assert not has_frames(tmp_path / name)
    assert not has_frames(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for ever
    assert not has_frames(tmp_path / "pipe")


def test_they_are_counted_and_one_is_named(tmp_path):
    paths = [tmp_path / f"{name}.gif" for name in "abc"]
    for path, count in zip(paths, (1, 2, 3), strict=True):
        path.write_bytes(as_file("GIF", PAGES[:count]))
    assert describe_frames(paths[:1]) == []
    assert describe_frames(paths[:2])[0].startswith(f"1 image has several frames or pages ({tmp_path.name}/b.gif)")
    assert describe_frames(paths)[0].startswith(
        f"2 images have several frames or pages (such as {tmp_path.name}/b.gif)"
    )
