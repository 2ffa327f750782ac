"""A report that is typed shows one line, and its table where it is printed, in the language of the reader."""

import pytest
import torch

import jumok
from jumok.language import speaking
from jumok.measures.printed import Printed


class Counts(Printed):
    def summary(self):
        return "2 counts"

    def header(self):
        return "map", "hits"

    def rows(self):
        return [("가장자리", "3"), ("centre", "12")]

    def conclusions(self):
        return ["centre: more"]


def test_names_stand_on_the_left_and_figures_on_the_right_whatever_the_letters():
    assert repr(Counts()) == "Counts(2 counts)"
    assert str(Counts()) == "2 counts\n\nmap        hits\n가장자리      3\ncentre       12\n\ncentre: more"


def test_a_report_without_a_table_is_one_line():
    class Line(Printed):
        def summary(self):
            return "1 count"

    assert str(Line()) == "1 count"


def looks_at_one_pixel(images):
    return torch.stack([images[:, 0, 0, 0], -images[:, 0, 0, 0]], 1)


@pytest.mark.parametrize(("code", "word"), [("en", "map: beats an edge map"), ("ko", "map: 이미지 8개에서")])
def test_the_report_of_faithfulness_is_read_where_it_is_typed(code, word):
    maps = torch.zeros(8, 2, 2)
    maps[:, 0, 0] = 1
    inputs = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with speaking(code):
        report = jumok.faithfulness(looks_at_one_pixel, inputs, maps, grid=(2, 2))
        lines = str(report).splitlines()
        assert repr(report).startswith("FaithfulnessReport(8 images" if code == "en" else "FaithfulnessReport(이미지 8")
        assert "\n" not in repr(report)
        assert [line.split()[0] for line in lines[3:7]] == ["map", "random", "centre", "edges"]
        assert any(word in line for line in lines[7:])
