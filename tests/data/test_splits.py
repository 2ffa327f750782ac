import pytest

from jumok.data.splits import IMAGE_SHARES, SPLIT_NAMES, SPLITS, check_shares, count_held_out, split_named
from jumok.errors import JumokError


def test_every_name_stands_for_a_part():
    assert set(SPLIT_NAMES.values()) == set(SPLITS)
    assert all(split_named(name.upper()) == SPLIT_NAMES[name] for name in SPLIT_NAMES)
    assert split_named("trains") is None


@pytest.mark.parametrize(
    "shares", [(0.5, 0.5, 0.5), (0, 0.5, 0.5), (1.5, -0.5, 0), (0.5, 0.5), (float("nan"), 0.5, 0.5)]
)
def test_what_are_no_shares(shares):
    with pytest.raises(JumokError, match=r"sum to 1: got .*for example \(0.7, 0.15, 0.15\)"):
        check_shares(shares, IMAGE_SHARES)


def test_each_part_with_a_share_gets_one_at_least():
    assert count_held_out(3, (0.9, 0.05, 0.05), ["val", "test"]) == {"val": 1, "test": 1}
    assert count_held_out(1000, (0.9, 0.1, 0), ["test"]) == {"test": 0}
