import json

import pytest

from jumok.data.pairs.alignment_files import check_links, read_links
from jumok.data.pairs.pair_set import overlap
from jumok.data.pairs.parts import read_parts
from jumok.data.samples import pair_folder
from jumok.data.samples.toy_pairs import REVERSAL, SUBSTITUTION
from jumok.data.splits import SPLITS
from jumok.errors import JumokError

SMALL = {"train": 800, "val": 50, "test": 50, "seed": 2}
WRITERS = [REVERSAL.write, SUBSTITUTION.write]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def aligned(folder, part):
    """Source words, target words and links of each pair."""
    found = read_parts([folder])[part]
    links = read_links(folder / f"{part}.align")
    sides = [(one.split(), two.split()) for one, two in zip(found.sources, found.targets, strict=True)]
    check_links(links, [(len(one), len(two)) for one, two in sides])
    return [(one, two, own) for (one, two), own in zip(sides, links, strict=True)]


@pytest.mark.parametrize("write", WRITERS)
def test_parts_have_their_sizes_and_share_nothing(write, tmp_path):
    write(tmp_path / "a", **SMALL)
    parts = read_parts([tmp_path / "a"])
    assert [len(parts[part]) for part in SPLITS] == [800, 50, 50]
    assert all(len(set(found.sources)) == len(set(found.targets)) == len(found) for found in parts.values())
    assert all(overlap(parts[one], parts[other]) == 0 for one in SPLITS for other in SPLITS if other != one)


def test_no_target_comes_twice_though_two_sources_would_give_it(tmp_path):
    SUBSTITUTION.write(tmp_path / "a", train=300, val=100, test=100, words=12, shortest=2, longest=3)
    targets = [target for found in read_parts([tmp_path / "a"]).values() for target in found.targets]
    assert len(set(targets)) == len(targets) == 500


@pytest.mark.parametrize("write", WRITERS)
def test_lengths_and_words_are_as_wanted(write, tmp_path):
    write(tmp_path / "a", shortest=2, longest=5, words=17, **SMALL)
    pairs = [pair for part in SPLITS for pair in aligned(tmp_path / "a", part)]
    assert {len(one) for one, _, _ in pairs} == {2, 3, 4, 5}
    for side in (0, 1):
        assert len({word for pair in pairs for word in pair[side]}) == 17


@pytest.mark.parametrize("write", WRITERS)
def test_the_gold_is_one_to_one_and_sure(write, tmp_path):
    write(tmp_path / "a", **SMALL)
    for one, two, links in aligned(tmp_path / "a", "test"):
        assert len(one) == len(two) == len(links.sure) == len(links.possible)
        assert {source for source, _ in links.sure} == {target for _, target in links.sure} == set(range(len(one)))


def test_a_reversal_is_one(tmp_path):
    REVERSAL.write(tmp_path / "a", **SMALL)
    for one, two, links in aligned(tmp_path / "a", "val"):
        assert two == one[::-1]
        assert links.sure == {(number, len(one) - 1 - number) for number in range(len(one))}


def test_a_translation_follows_its_dictionary_and_moves_words_by_one(tmp_path):
    SUBSTITUTION.write(tmp_path / "a", **SMALL)
    pairs = [pair for part in SPLITS for pair in aligned(tmp_path / "a", part)]
    meaning = {}
    for one, two, links in pairs:
        for source, target in links.sure:
            assert meaning.setdefault(one[source], two[target]) == two[target]
            assert abs(source - target) <= 1
    assert len(set(meaning.values())) == len(meaning) == 200
    assert not meaning.keys() & set(meaning.values())
    moved = {one[source] for one, _, links in pairs for source, target in links.sure if target > source}
    stayed = {one[source] for one, _, links in pairs for source, target in links.sure if target < source}
    assert 60 <= len(moved) <= 67
    assert not moved & stayed
    for one, _, links in pairs:
        for source, target in links.sure:
            behind = source + 1 < len(one) and one[source] in moved and one[source + 1] not in moved
            before = source > 0 and one[source] not in moved and one[source - 1] in moved
            assert target - source == behind - before


@pytest.mark.parametrize("write", WRITERS)
def test_the_same_numbers_give_the_same_files(write, tmp_path):
    write(tmp_path / "a", **SMALL)
    write(tmp_path / "b", **SMALL)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    write(tmp_path / "c", **{**SMALL, "seed": 3})
    assert contents(tmp_path / "c")["train.tsv"] != contents(tmp_path / "a")["train.tsv"]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"test": 0}, "test must have 1 to"),
        ({"seed": -1}, "seed must be"),
        ({"shortest": 0}, "sentences have 1 to 1000 words"),
        ({"shortest": 5, "longest": 4}, "got 5 to 4"),
        ({"longest": 1001}, "got 3 to 1001"),
        ({"words": 1}, "2 to 2450 different words"),
        ({"words": 2451}, "got 2451"),
        ({"words": 2, "longest": 4}, "different sentences were found"),
    ],
)
def test_numbers_that_cannot_be(write, options, said, tmp_path):
    with pytest.raises(JumokError, match=said):
        write(tmp_path / "a", **{**SMALL, **options})


# -- the folder ---------------------------------------------------------------------------------


def test_a_sample_that_is_there_is_kept(tmp_path):
    REVERSAL.write(tmp_path, **SMALL)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    REVERSAL.write(tmp_path, **SMALL)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert json.loads((tmp_path / "sample.json").read_text())["train"] == 800


def test_a_sample_left_half_written_is_completed(tmp_path, monkeypatch):
    REVERSAL.write(tmp_path / "whole", **SMALL)
    real, written = pair_folder.write_atomically, []

    def breaking(path, content):
        if len(written) == 4:
            raise JumokError("cut")
        written.append(path)
        real(path, content)

    monkeypatch.setattr(pair_folder, "write_atomically", breaking)
    with pytest.raises(JumokError, match="cut"):
        REVERSAL.write(tmp_path / "half", **SMALL)
    monkeypatch.setattr(pair_folder, "write_atomically", real)
    with pytest.raises(JumokError, match="holds another sample"):
        REVERSAL.write(tmp_path / "half", **{**SMALL, "seed": 9})
    REVERSAL.write(tmp_path / "half", **SMALL)
    assert contents(tmp_path / "half") == contents(tmp_path / "whole")


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(JumokError, match=r"holds other files, such as notes.txt"):
        REVERSAL.write(tmp_path, **SMALL)
    with pytest.raises(JumokError, match="Not a directory; give a folder"):
        REVERSAL.write(tmp_path / "notes.txt", **SMALL)
    assert contents(tmp_path) == {"notes.txt": b"mine"}
