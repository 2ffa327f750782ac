"""The page of faithfulness, read from its text."""

import base64

import numpy as np
import pytest
import torch
from browser_visit import HOSTILE
from faithful_entries import SECTION, entry
from page_text import data_of

from jumok.errors import JumokError
from jumok.views.pages.faithful_page import FaithfulPage


@pytest.fixture
def written(tmp_path):
    def write(*entries, **options):
        page = FaithfulPage(f"믿을 수 있는가 {HOSTILE}", **options)
        for each in entries or (entry(),):
            page.add(each)
        page.report([SECTION], first="rollout")
        page.write(tmp_path / "index.html")
        return (tmp_path / "index.html").read_text("utf-8")

    return write


def numbers(text, kind):
    return np.frombuffer(base64.b64decode(text), kind).tolist()


def test_what_the_page_needs_is_in_it(written):
    data = data_of(written())
    assert data["methods"] == ["rollout"]
    assert data["baselines"] == ["random", "edges"]
    assert data["gone"] == [0, 1, 2, 4]
    (one,) = data["entries"]
    assert one["filled"][0] == {"colour": "#646464"}
    assert one["filled"][1]["image"].startswith("data:image/")
    assert one["filled"][2] is None
    rollout, _, edges = one["steps"][1]
    assert numbers(rollout["order"], "<u2") == [3, 0, 1, 2]
    assert rollout["answers"] == [0.9, 0.4, 0.2, 0.1]
    assert [rollout["names"][name] for name, _ in rollout["best"]] == ["꽃", "잎", "잎", HOSTILE]
    assert edges["srg"] == 0.25
    assert numbers(one["heats"][0]["codes"], np.uint8) == [73, 36, 0, 255]
    assert one["heats"][2]["signed"]
    assert numbers(one["heats"][2]["codes"], np.uint8) == [254, 0, 152, 127]


def test_what_was_measured_stands_above_the_images(written):
    text = written()
    assert '<th scope="row">rollout</th><td>0.25 (0.10 to 0.40)</td>' in text
    assert '<tr class="baseline"><th scope="row">edges</th>' in text
    assert "filling blur hardly changes the answer" in text


def test_hostile_names_are_text(written):
    text = written(entry(name=HOSTILE, note=HOSTILE, target=HOSTILE))
    assert "<img src=x" not in text
    assert "<script>alert" not in text
    assert text.count("<script") == 2, "the page's data and its one script"
    assert data_of(text)["entries"][0]["name"] == HOSTILE
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


def test_images_beyond_the_budget_are_left_out_and_counted(written):
    noise = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    text = written(*[entry(f"{number}.png", image=noise) for number in range(20)], budget=120_000)
    data = data_of(text)
    assert 1 <= len(data["entries"]) < 20
    assert data["left"] == 20 - len(data["entries"])
    assert len(text) < 120_000


def test_entries_of_one_page_are_alike(written):
    with pytest.raises(JumokError, match=r"b\.png: wanted the maps, fillings, grid and steps of the first one"):
        written(entry(), entry("b.png", gone=(0, 2, 4)))


def test_a_page_of_nothing_is_refused(tmp_path):
    with pytest.raises(JumokError, match="at least one image"):
        FaithfulPage("x").write(tmp_path / "index.html")
