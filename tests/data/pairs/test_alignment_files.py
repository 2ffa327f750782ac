import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumok.data.pairs.alignment_files import (
    Links,
    check_links,
    read_links,
    seem_counted_from_one,
    write_line,
    write_links,
)
from jumok.errors import JumokError

LINK = st.tuples(st.integers(0, 30), st.integers(0, 30))


def links(sure=(), possible=()):
    return Links(frozenset(sure), frozenset(possible))


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_links_are_read_source_first(tmp_path):
    found = read_links(written(tmp_path / "a", "0-1 2p3 4?5\n\n10-0\n"))
    assert found == [links({(0, 1)}, {(2, 3), (4, 5)}), links(), links({(10, 0)})]
    assert found[0].possible == {(0, 1), (2, 3), (4, 5)}


def test_what_is_sure_is_possible_too(tmp_path):
    (found,) = read_links(written(tmp_path / "a", "1-1 1p1 0p0\n"))
    assert (found.sure, found.possible) == ({(1, 1)}, {(0, 0), (1, 1)})


def test_tokens_may_be_counted_from_one_and_targets_stand_first(tmp_path):
    path = written(tmp_path / "a", gzip.compress(b"1-2 3p1\r\n"))
    assert read_links(path, one_based=True) == [links({(0, 1)}, {(2, 0)})]
    assert read_links(path, turned=True) == [links({(2, 1)}, {(1, 3)})]


@given(st.lists(st.builds(Links, st.frozensets(LINK), st.frozensets(LINK)), max_size=5), st.booleans())
def test_what_is_written_is_read_again(tmp_path_factory, found, one_based):
    path = tmp_path_factory.getbasetemp() / "links"
    write_links(path, found, one_based=one_based)
    assert read_links(path, one_based=one_based) == found
    assert [own.turn().turn() for own in found] == found


def test_lines_are_in_order():
    assert write_line(links({(10, 0), (2, 1)}, {(2, 0)})) == "2p0 2-1 10-0"
    assert write_line(links({(0, 0)}), one_based=True) == "1-1"
    assert write_line(links()) == ""


@pytest.mark.parametrize(
    "item", ["1", "1-", "-1", "1--2", "1x2", "1-2-3", "a-b", "1.0-2", "1234567-1", "¹-2", "1-2,3-4"]
)
def test_what_is_no_link_is_told_with_its_place(tmp_path, item):
    with pytest.raises(JumokError, match=r"a, line 2: .* is not a link; wanted SOURCE-TARGET") as caught:
        read_links(written(tmp_path / "a", f"0-0\n0-0 {item}\n"))
    assert "\n" not in str(caught.value)


def test_zero_where_counting_begins_at_one(tmp_path):
    with pytest.raises(JumokError, match="a, line 1: '0-1' counts from 0"):
        read_links(written(tmp_path / "a", "1-1 0-1\n"), one_based=True)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(JumokError, match="no such file"):
        read_links(tmp_path / "none")
    with pytest.raises(JumokError, match="line 2: byte 0xff"):
        read_links(written(tmp_path / "a", b"0-0\n\xff"))


def test_alignments_fit_their_sentences():
    found = [links({(0, 1)}), links(possible={(2, 0)})]
    check_links(found, [(1, 2), (3, 1)])
    with pytest.raises(JumokError, match="gold has 2 lines for 3 pairs"):
        check_links(found, [(1, 2), (3, 1), (1, 1)], "gold")
    with pytest.raises(JumokError, match=r"gold, line 2: link 2-0 \(from 0\) goes beyond the pair's 2 source and 1"):
        check_links(found, [(1, 2), (2, 1)], "gold")
    with pytest.raises(JumokError, match=r"line 1: link 0-1 .* 1 source and 1 target"):
        check_links(found, [(1, 1), (3, 1)])


@pytest.mark.parametrize(
    ("lines", "seem"),
    [
        ("1-1 2-3\n1-2\n", True),
        ("1-1 2-3\n\n1p2\n", True),
        ("1-1 2-3\n2-0\n", False),
        ("1-1 2-3\n0p2\n", False),
        ("1-1 2-3\n", False),
        ("\n\n", False),
    ],
)
def test_links_none_of_which_has_a_first_token_seem_to_count_from_one(tmp_path, lines, seem):
    (tmp_path / "links").write_text(lines)
    assert seem_counted_from_one(read_links(tmp_path / "links")) is seem
