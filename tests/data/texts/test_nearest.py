import pytest

from jumok.data.texts import nearest
from jumok.data.texts.nearest import find_nearest

KNOWN = ["a blue bus", "the red cars", "빨간 자동차가 간다", "12/03/1999"]


@pytest.mark.parametrize("block", [4_000_000, 5])
def test_the_nearest_shares_the_rarest_letters(monkeypatch, block):
    monkeypatch.setattr(nearest, "BLOCK", block)
    texts = ["red car", "BLUE busses", "빨간 자전거", "13/03/1999", "a blue bus"]
    assert find_nearest(texts, KNOWN).tolist() == [1, 0, 2, 3, 0]


def test_of_equally_near_ones_the_first_is_taken():
    assert find_nearest(["x", "쀍"], ["y x", "x y", "x y"]).tolist() == [1, 0]


def test_nothing_has_no_neighbour():
    assert find_nearest([], KNOWN).tolist() == []
