"""What pictures say is in the language of now, and in English where no font could draw it."""

import re

import pytest
import torch
from matplotlib.text import Text
from PIL import Image

from jumok.attention import AttentionMap, One, Patches, Tokens
from jumok.language import speaking
from jumok.views.pictures import charts, drawn_texts, figures, fonts, heatmap
from jumok.views.pictures.alignment_matrix import draw_alignment
from jumok.views.pictures.charts import draw_confusion
from jumok.wording import count_columns

NUMBERS = re.compile(r"[\d.,%x ]*")


@pytest.fixture
def said(monkeypatch):
    """All texts of the figures that are written."""
    texts = []

    def note(figure, *more):
        texts.extend([*(text.get_text() for text in figure.findobj(Text)), *more])
        return [fonts.PLAIN_FONT]

    for module in (charts, figures):
        monkeypatch.setattr(module, "set_fonts", note)
    return texts


def draw_some(folder):
    draw_confusion([[3, 1], [0, 4]], ["B1", "B2"], folder / "a.png")
    heat = AttentionMap(torch.rand(1, 10).softmax(-1), One("cls"), Patches(3, 3, special=("cls",)))
    heatmap.draw(heat, Image.new("RGB", (60, 40)), folder / "b.png")
    draw_alignment(AttentionMap(torch.eye(2), Tokens(("1", "2")), Tokens(("3", "4"))), folder / "c.png")


def test_every_text_is_in_korean(tmp_path, said):
    with speaking("ko"):
        draw_some(tmp_path)
    names = {"B1", "B2"}
    english = [text for text in said if text not in names and not re.search("[가-힣]", text)]
    assert [text for text in english if not NUMBERS.fullmatch(text)] == []
    assert any("정답" in text for text in said)


def test_without_a_font_for_it_they_are_in_english(tmp_path, said, monkeypatch):
    monkeypatch.setattr(fonts, "have_letters", str.isascii)
    with speaking("ko"):
        draw_some(tmp_path)
    assert [text for text in said if re.search("[가-힣]", text)] == []
    assert "true class" in said


def test_lines_of_korean_are_as_long_as_those_of_english():
    text = "가나다 라마바 사아자 차카타 파하"
    assert max(map(count_columns, drawn_texts.wrap(text, 14).splitlines())) <= 14
    assert drawn_texts.wrap(text, 14).split() == text.split()
