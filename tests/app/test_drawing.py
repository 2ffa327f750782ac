"""Maps drawn and shown from Python: whatever the image is held as, and whatever the keys are."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageShow

import jumok
from jumok import AttentionMap, JumokError, One, Patches, Scale, Steps, Tokens

WEIGHTS = [0.1, 0.2, 0.3, 0.4]


def over_image(**fields):
    return AttentionMap(torch.tensor([WEIGHTS]), One("cls"), Patches(2, 2), **fields)


def over_words(words=("the", " ", "cat", "sat"), queries=None):
    return AttentionMap(torch.tensor([WEIGHTS]), queries or One("sentence"), Tokens(words))


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_an_image_may_be_held_in_any_form(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "photo.png")
    channels_first = torch.from_numpy(photo).permute(2, 0, 1)
    forms = {
        "path": tmp_path / "photo.png",
        "pillow": Image.fromarray(photo),
        "array": photo,
        "floats": photo / 255,
        "tensor": channels_first,
        "fractions": channels_first.float() / 255,
    }
    for name, image in forms.items():
        over_image().draw(image, tmp_path / f"{name}.out.png")
    written = {(tmp_path / f"{name}.out.png").read_bytes() for name in forms}
    assert len(written) == 1


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_picture_is_written_by_its_ending_and_always_the_same(tmp_path, photo, ending):
    for name in "ab":
        over_image().draw(photo, tmp_path / f"{name}.{ending}", title="지도")
    head = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
    first, second = ((tmp_path / f"{name}.{ending}").read_bytes() for name in "ab")
    assert first.startswith(head)
    if ending != "svg":  # matplotlib numbers the parts of an SVG at random
        assert first == second


def test_keys_in_no_image_need_only_a_path(tmp_path):
    over_words().draw(tmp_path / "text.svg")
    text = (tmp_path / "text.svg").read_text()
    for word in ("the", "cat", "␣", "0.40", "query: sentence"):
        assert f"<!-- {word} -->" in text
    jumok.draw(over_words(queries=Tokens(("le",))), tmp_path / "matrix.png")
    AttentionMap(torch.rand(3, 3), Steps(3), Steps(3), (), Scale.GATE).draw(tmp_path / "times.png")
    assert {path.name for path in tmp_path.iterdir()} == {"text.svg", "matrix.png", "times.png"}


def test_numbered_tokens_are_bars_and_not_a_text(tmp_path):
    over_words(("0", "1", "2", "3")).draw(tmp_path / "bars.svg")
    assert "query:" not in (tmp_path / "bars.svg").read_text()


def test_bounds_and_colours_are_those_asked_for_and_are_told(tmp_path, photo):
    over_image(source="rollout").draw(photo, tmp_path / "a.svg", vmin=0.15, vmax=0.35, cmap="viridis")
    text = (tmp_path / "a.svg").read_text()
    assert "rollout: weight, linear from 0.15 to 0.35; 50.0% of what is drawn lies" in text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda photo, path: over_image().draw(photo, path / "a.png", vmin=1, vmax=0), "vmin below vmax"),
        (lambda photo, path: over_image().draw(photo, path / "a.png", cmap="infern"), "did you mean 'inferno'"),
        (lambda photo, path: over_image().draw(path / "a.png"), r"draw\(map, image, path\)"),
        (lambda photo, path: over_words().draw(photo), "the path of the picture is missing"),
        (lambda photo, path: over_image().draw(photo * 2.0, path / "a.png"), "fractions from 0 to 1"),
        (lambda photo, path: over_image().draw(torch.from_numpy(photo), path / "a.png"), "permute"),
        (lambda photo, path: over_image().draw(path / "none.png", path / "a.png"), "none.png"),
        (lambda photo, path: over_image().draw(photo, path / "a.jpg"), ".png, .svg or .pdf"),
        (lambda photo, path: over_image().save(path / "x.png"), r"map\.draw\(image, '.*x\.png'\)"),
        (lambda photo, path: over_words().save(path / "x.npz"), r"\.safetensors or drawn as .*x\.npz"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(tmp_path, photo, call, message):
    with pytest.raises(JumokError, match=message):
        call(photo, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_gets_the_picture_as_its_output(monkeypatch, photo):
    shown = []
    notebook = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=shown.append))
    over_image().show(photo)
    over_words().show(title="a text")
    assert [isinstance(each, Image.Image) for each in shown] == [True, True]


def test_elsewhere_the_systems_viewer_shows_it_or_the_way_out_is_named(monkeypatch, photo):
    shown = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(ImageShow, "show", lambda picture, title: shown.append(picture.size) or True)
    over_image().show(photo)
    assert len(shown) == 1
    monkeypatch.setattr(ImageShow, "show", lambda picture, title: False)
    with pytest.raises(JumokError, match=r"map\.draw\(image"):
        over_image().show(photo)


def test_only_what_is_meant_for_users_is_listed():
    assert set(dir(jumok)) == {*jumok.__all__, "__version__"}
    assert all(getattr(jumok, name) is not None for name in jumok.__all__)
