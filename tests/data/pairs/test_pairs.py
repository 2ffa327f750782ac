import gzip
import random
import tracemalloc
import unicodedata
from contextlib import suppress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jumok.data.pairs import pair_set, parts
from jumok.data.pairs.pair_set import PairSet, overlap, read_pairs
from jumok.data.pairs.parts import read_parts, split_pairs
from jumok.data.texts import normal_form
from jumok.data.texts.normal_form import clean, read_lines
from jumok.errors import JumokError


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def both(found):
    return list(zip(found.sources, found.targets, strict=True))


def many(count, seed=0, words=40):
    """Pairs of which some have a sentence in common."""
    draw = random.Random(seed)
    return PairSet(
        tuple(f"s{draw.randrange(count * words // 10)}" for _ in range(count)),
        tuple(f"t{draw.randrange(count * words // 10)}" for _ in range(count)),
    )


# -- reading ------------------------------------------------------------------------------------


def test_a_table_gives_its_first_two_columns(tmp_path):
    path = write(tmp_path / "a.tsv", "Go.\t가.\tCC-BY\tmore\nHi there.\t안녕.\n")
    found = read_pairs([path])
    assert both(found) == [("Go.", "가."), ("Hi there.", "안녕.")]
    assert (found.names, found.files, found.empty, found.notes) == (("source", "target"), (path,), 0, ())


def test_two_files_are_read_line_by_line_and_named_by_their_endings(tmp_path):
    de, en = write(tmp_path / "x.de", "ja\nnein\n"), write(tmp_path / "x.en.gz", gzip.compress(b"yes\nno"))
    found = read_pairs([de, en])
    assert both(found) == [("ja", "yes"), ("nein", "no")]
    assert found.names == ("de", "en")
    turned = read_pairs([de, en], reverse=True)
    assert both(turned) == [("yes", "ja"), ("no", "nein")]
    assert turned.names == ("en", "de")


def test_gzip_is_known_by_its_content(tmp_path):
    assert both(read_pairs([write(tmp_path / "a.tsv", gzip.compress(b"a\tb\n"))])) == [("a", "b")]
    assert both(read_pairs([write(tmp_path / "b.tsv.gz", b"a\tb\n")])) == [("a", "b")]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_hangul_is_composed_however_it_was_typed(tmp_path, form):
    path = write(tmp_path / "a.tsv", unicodedata.normalize(form, "주목\t한국어 문장\n"))
    assert both(read_pairs([path])) == [("주목", "한국어 문장")]


def test_marks_of_other_systems_are_tolerated(tmp_path):
    path = write(tmp_path / "a.tsv", b"\xef\xbb\xbfone\ttwo\r\nthree\tfour\r\n")
    assert both(read_pairs([path])) == [("one", "two"), ("three", "four")]


def test_only_line_feeds_part_lines(tmp_path):
    one = write(tmp_path / "a", "a\u2028b\x0bc\nd\x85e\rf\n")
    two = write(tmp_path / "b", "1\n2\n")
    assert both(read_pairs([one, two])) == [("a b c", "1"), ("d e f", "2")]


def test_lowercase(tmp_path):
    path = write(tmp_path / "a.tsv", "Ein HAUS\tΟΔΟΣ\n")
    assert both(read_pairs([path], lowercase=True)) == [("ein haus", "οδος")]


def test_pairs_with_an_empty_side_are_skipped_and_counted(tmp_path):
    found = read_pairs([write(tmp_path / "a.tsv", "a\tb\n\n  \n\tb\na\t \u3000\nc\td\n")])
    assert both(found) == [("a", "b"), ("c", "d")]
    assert found.empty == 4


def test_the_same_file_twice_is_warned_of(tmp_path):
    path = write(tmp_path / "a.de", "x\ny\n")
    (note,) = read_pairs([path, tmp_path / "." / "a.de"]).notes
    assert note.startswith("warning")
    assert "a.de" in note


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ([b"a\tb\nno tab here\n"], r"0, line 2: no TAB; wanted source TAB target"),
        ([b"a\tb\n\nc\td\nx\xff\ty\n"], r"0, line 4: byte 0xff is not valid UTF-8"),
        (["a\tb\n".encode("utf-16")], r"0, line 1: .*UTF-8"),
        (["a\tb\n".encode("utf-16-le")], r"0, line 1: holds a zero byte"),
        ([b"1\n2\n3\n", b"1\n2\n3\n4\n5\n"], r"0 has 3 lines and .*1 has 5"),
        ([b"1\n2\n3\n", b""], r"0 has 3 lines and .*1 has 0"),
        ([b""], r"no pair of sentences in .*0 \(0 lines"),
        ([b"\n\t\n"], r"no pair of sentences in .*0 \(2 lines"),
        ([gzip.compress(b"a\tb\n" * 1000)[:-20]], r"0 is damaged or cut short"),
        ([gzip.compress(b"a\tb\n")[:12] + b"\0" * 20], r"0 is damaged or cut short"),
        ([b"a", b"b", b"c"], r"got 3 files of pairs"),
        ([], r"got 0 files of pairs"),
    ],
)
def test_bad_input_is_told_in_one_line(tmp_path, contents, said):
    with pytest.raises(JumokError, match=said) as caught:
        read_pairs([write(tmp_path / str(number), content) for number, content in enumerate(contents)])
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(JumokError, match=r"no such file: .*none\.tsv"):
        read_pairs([tmp_path / "none.tsv"])
    with pytest.raises(JumokError, match="is a folder: wanted a file"):
        read_pairs([tmp_path, tmp_path])


def test_line_numbers_hold_beyond_the_first_block(tmp_path):
    good = b"some words\tand others\n" * 100_000
    with pytest.raises(JumokError, match="line 100001: no TAB"):
        read_pairs([write(tmp_path / "a", good + b"bad\n")])
    with pytest.raises(JumokError, match="line 100001: byte 0xfe"):
        read_pairs([write(tmp_path / "b", good + b"b\xfead\tx\n")])
    with pytest.raises(JumokError, match="line 100001: holds a zero"):
        read_pairs([write(tmp_path / "c", good + b"b\0ad\tx\n")])


@pytest.mark.parametrize("end", ["", "\n", "\nmore\tmore\n"])
def test_a_line_may_not_be_endless(tmp_path, end):
    with pytest.raises(JumokError, match="line 2: longer than 1024 KiB"):
        read_pairs([write(tmp_path / "a", "a\tb\n" + "x" * (1 << 20) + "\ty" + end)])
    longest = "x" * ((1 << 20) - 2) + "\ty"
    assert len(read_pairs([write(tmp_path / "b", "a\tb\n" + longest)])) == 2


def test_what_unpacks_without_end_eats_no_memory(tmp_path):
    bomb = write(tmp_path / "a.gz", gzip.compress(b"x" * (200 << 20), 1))
    tracemalloc.start()
    try:
        with pytest.raises(JumokError, match="line 1: longer"):
            read_pairs([bomb])
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_there_are_limits_to_what_is_read(tmp_path, monkeypatch):
    path = write(tmp_path / "a.tsv", "a\tb\n" * 100)
    monkeypatch.setattr(pair_set, "MOST_PAIRS", 99)
    with pytest.raises(JumokError, match="more than 99 pairs"):
        read_pairs([path])
    monkeypatch.setattr(normal_form, "MOST_BYTES", 399)
    with pytest.raises(JumokError, match="holds more than"):
        read_pairs([path])


LINES = st.lists(st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), max_size=8), max_size=6)


@given(lines=LINES, lowercase=st.booleans())
def test_lines_are_folded_as_if_alone(tmp_path_factory, lines, lowercase):
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    wanted = [line.removeprefix("\ufeff") if number == 0 else line for number, line in enumerate(lines)]
    got = [" ".join(line.split()) for line in read_lines(path, lowercase=lowercase)]
    assert got == [clean(line, lowercase=lowercase) for line in wanted]


@given(st.text())
def test_cleaning_twice_changes_nothing(some):
    once = clean(some)
    assert clean(once) == once == clean(unicodedata.normalize("NFD", once))
    once.encode()


# -- sets ---------------------------------------------------------------------------------------


def test_a_fingerprint_tells_any_change():
    base = PairSet(("a", "b"), ("c", "d"))
    others = [
        PairSet(("a", "b"), ("c", "e")),
        PairSet(("b", "a"), ("d", "c")),
        PairSet(("c", "d"), ("a", "b")),
        PairSet(("a", "b", "b"), ("c", "d", "d")),
        PairSet(("a",), ("c",)),
    ]
    assert len({found.fingerprint() for found in [base, *others]}) == 6
    assert base.fingerprint() == PairSet(("a", "b"), ("c", "d"), names=("x", "y"), empty=3).fingerprint()
    assert len(base.fingerprint()) == 32


def test_sides_of_a_set_are_equally_long():
    with pytest.raises(JumokError, match="2 source and 1 target"):
        PairSet(("a", "b"), ("c",))


# -- splitting ----------------------------------------------------------------------------------


@given(
    texts=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=2, max_size=60),
    seed=st.integers(0, 9),
)
def test_no_sentence_is_in_two_parts(texts, seed):
    found = PairSet(tuple(f"s{one}" for one, _ in texts), tuple(f"t{two}" for _, two in texts))
    parts = {}
    with suppress(JumokError):  # where all hang together
        parts = split_pairs(found, seed=seed, shares=(0.6, 0.2, 0.2))
    assume(parts)
    assert sorted(pair for part in parts.values() for pair in both(part)) == sorted(both(found))
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not set(parts[one].sources) & set(parts[other].sources)
        assert not set(parts[one].targets) & set(parts[other].targets)
        assert overlap(parts[one], parts[other]) == 0


def test_pairs_connected_through_others_stay_together():
    chained = PairSet(tuple("aabbccddeez"), tuple("12233445569"))
    parts = split_pairs(chained, shares=(0.5, 0.5, 0))
    assert sorted(map(len, parts.values())) == [0, 1, 10]
    assert len(parts["train"]) == 10


def test_parts_have_their_shares():
    parts = split_pairs(many(2000), shares=(0.7, 0.2, 0.1))
    assert [len(parts[name]) for name in ("train", "val", "test")] == [1400, 400, 200]
    assert [len(part) for part in split_pairs(many(2000)).values()] == [1800, 100, 100]


def test_a_large_set_holds_out_no_more_than_is_useful(monkeypatch):
    monkeypatch.setattr(parts, "MOST_HELD_OUT", 30)
    assert [len(part) for part in split_pairs(many(2000)).values()] == [1940, 30, 30]


def test_a_split_depends_on_the_seed_and_not_on_the_order():
    found = many(500)
    split = split_pairs(found, seed=1)
    assert split == split_pairs(found, seed=1)
    assert set(both(split_pairs(found, seed=2)["test"])) != set(both(split["test"]))
    turned = split_pairs(found.select(range(499, -1, -1)), seed=1)
    assert all(sorted(both(turned[part])) == sorted(both(split[part])) for part in split)


def test_a_split_hardly_changes_when_pairs_are_added():
    found, more = many(1000, words=400), PairSet(tuple(f"n{i}" for i in range(50)), tuple(f"m{i}" for i in range(50)))
    before = set(both(split_pairs(found)["test"]))
    grown = PairSet(found.sources + more.sources, found.targets + more.targets)
    assert len(before & set(both(split_pairs(grown)["test"]))) > 0.8 * len(before)


def test_parts_keep_the_order_of_the_file():
    found = many(300)
    place = {pair: number for number, pair in reversed(list(enumerate(both(found))))}
    for part in split_pairs(found).values():
        places = [place[pair] for pair in both(part)]
        assert places == sorted(places)


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_shares_that_are_none(shares):
    with pytest.raises(JumokError, match="sum to 1"):
        split_pairs(many(50), shares=shares)


def test_what_cannot_be_split():
    with pytest.raises(JumokError, match="no pair for val: 3 pairs are connected"):
        split_pairs(PairSet(("a", "a", "a"), ("x", "y", "z")))


# -- parts --------------------------------------------------------------------------------------


def lines(name, count):
    return "".join(f"{name}{number}\tx{name}{number}\n" for number in range(count))


def sizes(parts):
    assert list(parts) == ["train", "val", "test"]
    return [len(part) for part in parts.values()]


def test_one_file_is_split(tmp_path):
    path = write(tmp_path / "a.tsv", lines("a", 100) + "\t\n")
    parts = read_parts([path])
    assert sizes(parts) == [90, 5, 5]
    assert [part.empty for part in parts.values()] == [1, 0, 0]


def test_given_parts_are_kept(tmp_path):
    train, val = write(tmp_path / "a.tsv", lines("a", 100)), write(tmp_path / "v.tsv", lines("v", 7))
    assert sizes(read_parts([train], val=[val])) == [95, 7, 5]
    test = write(tmp_path / "t.tsv", lines("t", 3))
    assert sizes(read_parts([train], val=[val], test=[test])) == [100, 7, 3]


def test_parts_that_share_sentences_say_so(tmp_path):
    train, val = write(tmp_path / "a.tsv", lines("a", 10)), write(tmp_path / "v.tsv", "a3\tnew\nnew\txa4\nnew\tnew\n")
    parts = read_parts([train], val=[val], test=[train])
    assert parts["val"].notes == ("2 of 3 val pairs have a source or target sentence that training has too",)
    assert parts["test"].notes[0] == "warning: train and test are read from the same file"


@pytest.mark.parametrize("names", [("train.tsv", "val.tsv", "test.tsv"), ("train.tsv.gz", "dev.tsv.gz", "testing.tsv")])
def test_a_folder_of_tables(tmp_path, names):
    for name, count in zip(names, (30, 4, 5), strict=True):
        content = lines(name, count).encode()
        write(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
    write(tmp_path / "test.align", "0-0\n")
    write(tmp_path / "README.md", "about")
    assert sizes(read_parts([tmp_path])) == [30, 4, 5]
    other = write(tmp_path / "elsewhere" / "b.tsv", lines("b", 2))
    assert sizes(read_parts([tmp_path], test=[other])) == [30, 4, 2]


def test_a_folder_of_aligned_files(tmp_path):
    for part, count in (("train", 20), ("val", 3), ("test_2016", 2)):
        for ending in ("de", "en"):
            write(tmp_path / f"{part}.{ending}.gz", gzip.compress(f"{part} {ending} x\n".encode() * count))
    parts = read_parts([tmp_path])
    assert sizes(parts) == [20, 3, 2]
    assert parts["val"].names == ("de", "en")
    assert both(parts["val"])[0] == ("val de x", "val en x")
    assert read_parts([tmp_path], languages=("en", "de"))["test"].sources[0] == "test_2016 en x"
    write(tmp_path / "train.fr", "x\n" * 20)
    with pytest.raises(JumokError, match="train files ending in de, en, fr"):
        read_parts([tmp_path])
    assert sizes(read_parts([tmp_path], languages=("de", "en"))) == [20, 3, 2]


def test_a_folder_with_train_only_is_split(tmp_path):
    write(tmp_path / "train.tsv", lines("a", 40))
    assert sizes(read_parts([tmp_path])) == [36, 2, 2]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "holds no train file"),
        (("a.tsv",), "holds no train file"),
        (("train.de",), "train files ending in de"),
        (("train.de", "train.en", "val.de"), "lacks val.de and val.en"),
        (("train.tsv", "train.tsv.gz"), "holds both train.tsv and train.tsv.gz for train"),
        (("train.tsv", "test_a.tsv", "test_b.tsv"), "holds both test_a.tsv and test_b.tsv"),
    ],
)
def test_folders_that_are_not_clear(tmp_path, names, said):
    for name in names:
        write(tmp_path / name, lines("a", 5))
    with pytest.raises(JumokError, match=said):
        read_parts([tmp_path])


@pytest.mark.parametrize(
    "line",
    [
        "source\ttarget", "src\ttgt", "en\tko", "English\tKorean", "SOURCE\tTARGET\tid", "영어\t한국어", "en-US\tko_KR",
        "source_text\ttarget_text", "input\toutput", "Target\tSource",
    ],
)  # fmt: skip
def test_headings_are_told_and_stay(tmp_path, line):
    path = tmp_path / "pairs.tsv"
    path.write_text(f"{line}\na b\tb a\n", encoding="utf-8")
    one, other = line.split("\t")[:2]
    for reverse in (False, True):
        found = read_pairs([path], reverse=reverse)
        assert len(found) == 2
        (note,) = found.notes
        assert note == (
            f"{path}, line 1: {one!r} and {other!r} are taken for a pair of sentences and look like headings: "
            "delete the line if they are"
        )


@pytest.mark.parametrize(
    "line",
    [
        "Hello.\t안녕하세요.", "source\tQuelle", "Korean\t한국어", "English\tEnglisch", "source\tsource", "en\tin",
        "the target\tdas Ziel", "a\tb", "target\tko", "go en\tko", "", "\tko",
    ],
)  # fmt: skip
def test_ordinary_first_pairs_are_no_headings(tmp_path, line):
    path = tmp_path / "pairs.tsv"
    path.write_text(f"{line}\na b\tb a\nsource\ttarget\n", encoding="utf-8")
    assert read_pairs([path]).notes == ()
    path.write_text(f"{line}\nsource\ttarget\n", encoding="utf-8")
    assert read_pairs([path]).notes == ()


def test_headings_of_aligned_files_are_told(tmp_path):
    for name, text in (("a.en", "English\na b\n"), ("a.ko", "Korean\nb a\n")):
        (tmp_path / name).write_text(text)
    (note,) = read_pairs([tmp_path / "a.en", tmp_path / "a.ko"]).notes
    assert note.startswith(f"{tmp_path / 'a.en'} and {tmp_path / 'a.ko'}, line 1: 'English' and 'Korean' are taken")
