import datetime
import random
import re
import unicodedata

import pytest

from jumok.data.pairs.alignment_files import check_links, read_links
from jumok.data.pairs.pair_set import overlap
from jumok.data.pairs.parts import read_parts
from jumok.data.samples import dates
from jumok.data.samples.dates import FIRST_DATE, LAST_DATE, Style, make_pair, styles, write_dates
from jumok.data.splits import SPLITS
from jumok.data.texts.normal_form import clean
from jumok.errors import JumokError

SMALL = {"train": 600, "val": 60, "test": 60}
DAY = datetime.date(2026, 11, 22)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dates") / "new" / "sample"
    write_dates(folder, seed=3, **SMALL)
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def of_style(text):
    return next(style for style in styles() if make_pair(DAY, style).source == text)


def cells(pair, links):
    """The characters of source and target that belong together."""
    return {(pair.source[one], pair.target[two]) for one, two in links}


# -- one date -----------------------------------------------------------------------------------


def test_dates_are_written_as_people_do_in_both_languages():
    found = {make_pair(DAY, style).source for style in styles()}
    assert found >= {
        "2026년 11월 22일 일요일",
        "2026년 11월 22일",
        "2026. 11. 22.",
        "26. 11. 22.",
        "2026. 11. 22. (일)",
        "Sunday, November 22, 2026",
        "November 22, 2026",
        "Nov 22, 2026",
        "Sun, 22 Nov 2026",
        "22 November 2026",
    }
    assert len({style.locale for style in styles()}) == 3
    assert len(found) == len(styles()) >= 14


def test_the_target_is_iso():
    assert {make_pair(DAY, style).target for style in styles()} == {"2026-11-22"}
    assert make_pair(datetime.date(1950, 3, 4), styles()[0]).target == "1950-03-04"


def test_a_date_is_clean_text():
    for style in styles():
        source = make_pair(DAY, style).source
        assert source == clean(source) == unicodedata.normalize("NFC", source)


def test_no_written_date_means_two_days():
    meaning = {}
    draw = random.Random(0)
    days = [FIRST_DATE + datetime.timedelta(number) for number in range((LAST_DATE - FIRST_DATE).days + 1)]
    numeric = [style for style in styles() if "yy" in style.pattern]
    assert numeric
    for style in styles():
        for day in draw.sample(days, 1500) if style not in numeric else days[::5]:
            pair = make_pair(day, style)
            assert meaning.setdefault(pair.source, day) == day


def test_words_that_tell_the_date_are_sure_and_the_day_of_the_week_is_possible():
    pair = make_pair(DAY, of_style("2026년 11월 22일 일요일"))
    assert pair.words.sure == {(0, 0), (1, 0), (2, 0)}
    assert pair.words.possible - pair.words.sure == {(3, 0)}
    pair = make_pair(DAY, of_style("Sun, 22 Nov 2026"))
    assert pair.words.sure == {(1, 0), (2, 0), (3, 0)}
    assert pair.words.possible - pair.words.sure == {(0, 0)}


def test_digits_are_surely_aligned_to_the_digits_they_were_copied_from():
    pair = make_pair(datetime.date(2026, 9, 5), of_style("2026년 11월 22일"))
    assert pair.source == "2026년 9월 5일"
    assert pair.characters.sure == {(0, 0), (1, 1), (2, 2), (3, 3), (6, 6), (9, 9)}
    short = make_pair(datetime.date(1976, 12, 31), of_style("26. 11. 22."))
    assert short.source == "76. 12. 31."
    assert short.characters.sure == {(0, 2), (1, 3), (4, 5), (5, 6), (8, 8), (9, 9)}


def test_each_field_may_be_aligned_to_all_that_tells_it():
    pair = make_pair(datetime.date(2026, 9, 5), of_style("2026년 11월 22일"))
    by_target = {
        two: "".join(pair.source[one] for one, other in sorted(pair.characters.possible) if other == two)
        for two in range(10)
    }
    assert by_target == {**dict.fromkeys(range(4), "2026년"), 4: "  ", 5: "9월", 6: "9월", 7: "  ", 8: "5일", 9: "5일"}
    named = make_pair(datetime.date(2026, 9, 5), of_style("Sunday, November 22, 2026"))
    month = {one for one, two in named.characters.possible if two == 6}
    assert "".join(named.source[one] for one in sorted(month)) == "September"
    assert not {two for _, two in named.characters.sure} & {5, 6}  # no digit to copy


@pytest.mark.parametrize("style", styles(), ids=str)
def test_alignments_hold_in_every_style(style):
    draw = random.Random(str(style))
    for _ in range(50):
        pair = make_pair(FIRST_DATE + datetime.timedelta(draw.randrange((LAST_DATE - FIRST_DATE).days)), style)
        assert all(one == two and one.isdigit() for one, two in cells(pair, pair.characters.sure))
        assert {two for _, two in pair.characters.possible} == set(range(10))
        assert {one for one, _ in pair.characters.possible} == set(range(len(pair.source)))
        words = pair.source.split()
        for word, links in enumerate(words):
            telling = (
                bool(re.search(r"\d", links))
                or links.strip(",")[:3] in "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
            )
            assert ((word, 0) in pair.words.sure) == telling
            assert (word, 0) in pair.words.possible
        copied = sum(character.isdigit() for character in pair.source)
        assert len(pair.characters.sure) == copied


def test_a_style_stands_for_a_pattern_of_the_locale_data():
    assert Style("ko_KR", "y년 MMMM d일 EEEE") in styles()


# -- the sample ---------------------------------------------------------------------------------


def test_the_sample_has_its_parts_and_alignments(sample):
    parts = read_parts([sample])
    assert {part: len(found) for part, found in parts.items()} == SMALL
    assert all(found.notes == () and found.empty == 0 for found in parts.values())
    for part, found in parts.items():
        sides = list(zip(found.sources, found.targets, strict=True))
        check_links(read_links(sample / f"{part}.align"), [(len(one.split()), 1) for one, _ in sides])
        characters = read_links(sample / f"{part}.chars.align")
        check_links(characters, [(len(one), len(two)) for one, two in sides])
        for (one, two), links in zip(sides, characters, strict=True):
            assert datetime.date.fromisoformat(two)
            assert all(one[i] == two[j] for i, j in links.sure)
            assert links.sure


def test_no_date_is_in_two_parts_nor_twice_in_one(sample):
    parts = read_parts([sample])
    for one in SPLITS:
        assert len(set(parts[one].sources)) == len(parts[one])
        assert all(overlap(parts[one], parts[other]) == 0 for other in SPLITS if other != one)


def test_all_styles_and_languages_come(sample):
    found = read_parts([sample])["train"].sources
    korean = sum(bool(re.search("[가-힣]|^[0-9. ]+$", text)) for text in found)
    assert 0.25 < korean / len(found) < 0.75
    assert sum(bool(re.match(r"\d\d\. ", text)) for text in found) > 10


def test_the_same_numbers_give_the_same_files(sample, tmp_path):
    write_dates(tmp_path / "again", seed=3, **SMALL)
    assert contents(tmp_path / "again") == contents(sample)
    write_dates(tmp_path / "other", seed=4, **SMALL)
    assert contents(tmp_path / "other")["test.tsv"] != contents(sample)["test.tsv"]


def test_more_dates_than_days_still_share_no_day(tmp_path, monkeypatch):
    monkeypatch.setattr(dates, "LAST_DATE", FIRST_DATE + datetime.timedelta(99))
    write_dates(tmp_path / "a", train=500, val=1, test=30)
    parts = read_parts([tmp_path / "a"])
    assert [len(parts[part]) for part in SPLITS] == [500, 1, 30]
    assert all(overlap(parts[one], parts[other]) == 0 for one in SPLITS for other in SPLITS if other != one)
    assert all(len(set(found.sources)) == len(found) for found in parts.values())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"train": 0}, "train must have 1 to"),
        ({"val": -1}, "val must have 1 to"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"train": 200_000}, "the most: ask for fewer"),
    ],
)
def test_numbers_that_cannot_be(tmp_path, options, said):
    with pytest.raises(JumokError, match=said):
        write_dates(tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()
