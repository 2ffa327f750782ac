import io
import re
import subprocess
import sys
import unicodedata

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from jumok.data.texts import subword_vocabulary, vocabulary_builder
from jumok.data.texts.normal_form import clean
from jumok.data.texts.subword_vocabulary import MARK, SubwordVocabulary
from jumok.data.texts.vocabulary_builder import KINDS, build_vocabulary, check_vocabulary, load_vocabulary
from jumok.data.texts.word_vocabulary import JOIN, CharacterVocabulary, WordVocabulary
from jumok.errors import JumokError
from jumok.special_tokens import EOS, PAD, SOS, SYMBOLS, UNK

ENGLISH = [
    f"{who} {does} the {what}{end}"
    for who in ("She", "He", "The old man", "My sister's dog", "Nobody")
    for does in ("reads", "doesn't like", "carried", "is looking at", "found")
    for what in ("book", "well-known song", "letter (or two)", "red house", "snowmobile")
    for end in (".", "!", "?")
]
KOREAN = [
    f"{who} {what} {does}."
    for who in ("그녀는", "우리 할머니는", "그 학생이", "아무도")
    for what in ("책을", "오래된 노래를", "편지를", "빨간 집을")
    for does in ("읽는다", "좋아하지 않는다", "찾았다", "보고 있어요")
]
TEXTS = ENGLISH + KOREAN
SIZES = {"unigram": 300, "bpe": 400, "words": 1000, "characters": 1000}
ODD = [
    "",
    "   ",
    "The book.",
    "그녀는 책을 읽는다.",
    "쀍 뷁뷁! a쀍b",
    "\u2581 a\u2581b \uffed c\uffed",
    "<s> </s> <unk> <pad>",
    "a\u200bb \u3000 c\u00a0d\te\u2028f",
    "👩‍👩‍👧 é e\u0301",
    "\ud800 lone",
]


@pytest.fixture(scope="module")
def all_kinds():
    return {kind: build_vocabulary(kind, TEXTS, size=SIZES[kind], min_count=1) for kind in KINDS}


@pytest.fixture(params=list(KINDS))
def built(request, all_kinds):
    return all_kinds[request.param][0]


# -- what all kinds must do ---------------------------------------------------------------------


def test_it_is_of_its_kind_and_begins_with_the_symbols(built, all_kinds):
    assert built is all_kinds[built.kind][0]
    assert tuple(built.pieces([PAD, UNK, SOS, EOS])) == SYMBOLS
    assert len(SYMBOLS) < len(built) <= SIZES[built.kind]


def test_what_it_was_built_from_comes_back(built, all_kinds):
    encoded = built.encode_all(TEXTS)
    assert [built.decode(ids) for ids in encoded] == TEXTS
    assert all(len(SYMBOLS) <= token < len(built) for ids in encoded for token in ids)
    report = all_kinds[built.kind][1]
    assert (report.kind, report.size, report.sentences) == (built.kind, len(built), len(TEXTS))
    assert (report.round_trip, report.coverage) == (1, 1)


@pytest.mark.parametrize("text", TEXTS[::20] + ODD)
def test_all_ways_of_encoding_agree(built, text):
    ids = built.encode(text)
    found = built.split(text)
    assert ids == found.ids == built.encode_all(["x", text])[1]
    assert len(found.pieces) == len(found.owner) == len(ids)
    assert all(0 <= token < len(built) and token not in (PAD, SOS, EOS) for token in ids)
    known = [(piece, token) for piece, token in zip(found.pieces, ids, strict=True) if token != UNK]
    assert built.pieces([token for _, token in known]) == [piece for piece, _ in known]


@pytest.mark.parametrize("text", TEXTS[::20] + ODD)
def test_every_piece_belongs_to_its_word(built, text):
    found = built.split(text)
    assert found.words == clean(text).split()
    assert list(dict.fromkeys(found.owner)) == list(range(len(found.words)))
    assert found.owner == sorted(found.owner)
    for number, word in enumerate(found.words):
        own = "".join(piece for piece, owner in zip(found.pieces, found.owner, strict=True) if owner == number)
        assert plain(own) == plain(word)


@pytest.mark.parametrize("text", TEXTS[::10])
def test_ids_are_grouped_into_words_as_their_text_is(built, text):
    assert built.regroup(built.encode(text)) == built.split(text)


def test_ids_in_other_pieces_than_the_text_would_be_cut_into(built):
    word = next(word for text in TEXTS for word in text.split() if len(built.encode(word)) > 1 or len(word) > 3)
    text = f"{word} {word}"
    ids = [*built.encode(word), UNK, *built.encode(text)]
    found = built.regroup(ids)
    assert found.ids == ids
    assert found.words == built.decode(ids).split()
    assert found.owner == sorted(found.owner)
    assert set(found.owner) == set(range(len(found.words)))
    assert built.regroup([]) == ([], [], [], [])


def plain(text):
    """Without the signs for spaces, and what those signs become where a text holds them."""
    return re.sub(f"[ {MARK}{JOIN}_\u25a0]", "", text)


def test_hangul_typed_as_letters_gives_the_same(built):
    for text in [*KOREAN[::5], "쀍 주목"]:
        apart = unicodedata.normalize("NFD", text)
        assert apart != text
        assert built.encode(apart) == built.encode(text)
        assert built.split(apart) == built.split(text)
        assert built.unknown(apart) == built.unknown(text)


def test_white_space_of_all_sorts_is_a_space(built):
    assert built.encode("  The\u00a0old\u3000man\r\n") == built.encode("The old man")


def test_nothing_gives_nothing(built):
    assert built.encode("") == built.encode(" \n") == []
    assert built.encode_all([]) == []
    assert built.split("") == ([], [], [], [])
    assert built.unknown("") == ()
    assert built.decode([]) == built.decode([SOS, EOS, PAD]) == ""


def test_decoding_ends_at_the_end(built):
    ids = built.encode("The red house.")
    assert built.decode([SOS, *ids, EOS, *ids, PAD]) == "The red house."
    assert "<unk>" in built.decode([*ids, UNK])
    for wrong in (len(built), -1):
        with pytest.raises(JumokError, match="go beyond this vocabulary"):
            built.decode([wrong])


def test_what_is_unknown_is_named(built):
    assert built.unknown(ENGLISH[7]) == ()
    said = "".join(built.unknown("The 쀍 book, 뷁 쀍."))
    assert {"쀍", "뷁"} <= set(said)
    assert "book" not in said
    assert said.count("쀍") == 1
    assert not set(said) & {MARK, JOIN, " "}


def test_a_file_gives_it_back(built, tmp_path):
    built.save(tmp_path / "vocabulary")
    again = load_vocabulary(tmp_path / "vocabulary")
    assert (type(again), again.kind, len(again)) == (type(built), built.kind, len(built))
    assert again.encode_all(TEXTS + ODD) == built.encode_all(TEXTS + ODD)
    assert again.to_bytes() == built.to_bytes()


def test_the_same_text_gives_the_same_vocabulary(built):
    again, _ = build_vocabulary(built.kind, iter(TEXTS), size=SIZES[built.kind], min_count=1)
    assert again.to_bytes() == built.to_bytes()
    apart = [unicodedata.normalize("NFD", text) + " \n" for text in TEXTS]
    assert build_vocabulary(built.kind, apart, size=SIZES[built.kind], min_count=1)[0].to_bytes() == built.to_bytes()


@given(st.text(max_size=40))
def test_no_text_breaks_it(all_kinds, text):
    for built, _ in all_kinds.values():
        found = built.split(text)
        assert found.ids == built.encode(text)
        assert list(dict.fromkeys(found.owner)) == list(range(len(found.words)))
        assert (UNK in found.ids) == bool(built.unknown(text))
        if UNK not in found.ids and not {MARK, JOIN} & set(text):
            assert built.decode(found.ids) == clean(text)


@given(st.data())
def test_no_ids_break_it(all_kinds, data):
    for built, _ in all_kinds.values():
        ids = data.draw(st.lists(st.integers(0, len(built) - 1), max_size=20))
        text = built.decode(ids)
        assert not any(symbol in text for symbol in ("<s>", "</s>", "<pad>"))


# -- sub-words ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_size_that_the_text_does_not_give_is_told(kind):
    built, report = build_vocabulary(kind, ["hello world", "a b c"], size=500)
    assert len(SYMBOLS) < len(built) < 500
    assert report.notes == (f"the vocabulary has {len(built)} entries and not 500: the text gives no more",)
    assert built.decode(built.encode("hello world")) == "hello world"


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_size_that_is_wanted_is_had(kind):
    built, report = build_vocabulary(kind, TEXTS, size=85)
    assert (len(built), report.notes) == (85, ())


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_too_small_a_size_is_told_with_the_one_needed(kind):
    with pytest.raises(JumokError, match=r"of 20 has no room .* it needs \d+; raise the size") as caught:
        build_vocabulary(kind, TEXTS, size=20)
    needed = int(str(caught.value).split("it needs ")[1].split(";")[0])
    assert len(build_vocabulary(kind, TEXTS, size=needed)[0]) == needed


def test_rare_characters_may_be_left_out():
    texts = [*ENGLISH, "쀍 book"]
    built, report = build_vocabulary("bpe", texts, size=300, character_coverage=0.995)
    assert built.unknown("쀍 book") == ("쀍",)
    assert 0.99 < report.coverage < 1
    assert 0.9 < report.round_trip < 1
    assert build_vocabulary("bpe", texts, size=300)[0].unknown("쀍 book") == ()


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_building_and_use_say_nothing(kind, capfd):
    built, _ = build_vocabulary(kind, TEXTS, size=200)
    built.decode(built.encode("쀍 The book"))
    SubwordVocabulary(built.to_bytes())
    with pytest.raises(JumokError):
        build_vocabulary(kind, TEXTS, size=10)
    with pytest.raises(JumokError):
        SubwordVocabulary(b"rubbish")
    assert capfd.readouterr() == ("", "")


def test_a_large_text_is_learnt_from_in_part(monkeypatch):
    monkeypatch.setattr(subword_vocabulary, "MOST_SENTENCES", 3)
    built, _ = build_vocabulary("bpe", ["aa", "bb", "cc", "dd", "ee", "ff"], size=30)
    assert built.unknown("aa bb cc dd ee ff") == ("bb", "dd", "ff")


def test_a_model_with_other_symbols_is_refused(tmp_path):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=model, vocab_size=80, minloglevel=2
    )
    with pytest.raises(JumokError, match=r"ids \(-1, 0, 1, 2\): wanted 0, 1, 2 and 3"):
        SubwordVocabulary(model.getvalue())


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_symbols_names_in_a_text_are_words_like_others(kind):
    texts = [f"the {symbol} saw {n} birds" for n in range(30) for symbol in ("<unk>", "<s>", "</s>", "<pad>")]
    built, report = build_vocabulary(kind, texts, size=120, min_count=1)
    assert (report.coverage, report.round_trip) == (1, 1)
    assert tuple(built.pieces(range(len(SYMBOLS)))) == SYMBOLS


# -- words and characters -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("The house.", ["The", "house", f"{JOIN}."]),
        ("(see p. 3)", [f"({JOIN}", "see", "p", f"{JOIN}.", "3", f"{JOIN})"]),
        ("She doesn't, it’s 3.5%", ["She", "doesn't", f"{JOIN},", "it’s", "3", f"{JOIN}.{JOIN}", "5", f"{JOIN}%"]),
        ("'quoted' - so?!", [f"'{JOIN}", "quoted", f"{JOIN}'", "-", "so", f"{JOIN}?", f"{JOIN}!"]),
        ("well-known", ["well", f"{JOIN}-{JOIN}", "known"]),
        ("나는 \u201c집\u201d에 가.", ["나는", f"\u201c{JOIN}", "집", f"{JOIN}\u201d{JOIN}", "에", "가", f"{JOIN}."]),
        ("हिन्दी में।", ["हिन्दी", "में", f"{JOIN}।"]),
    ],
)
def test_words_and_punctuation_part_and_meet_again(text, pieces):
    built = WordVocabulary(list(dict.fromkeys(pieces)))
    assert built.split(text).pieces == pieces
    assert built.decode(built.encode(text)) == text


def test_spaces_are_characters_of_the_word_behind_them():
    built = CharacterVocabulary([" ", "가", "나"])
    assert built.split("가 나가") == ([5, 4, 6, 5], ["가", "나가"], [0, 1, 1, 1], ["가", " ", "나", "가"])


def test_the_most_frequent_are_taken_and_ties_are_settled():
    texts = ["b b b c c a a d", "e"]
    assert build_vocabulary("words", texts, size=7)[0].pieces(range(4, 7)) == ["b", "a", "c"]
    assert len(build_vocabulary("words", texts)[0]) == 7  # what comes once is unknown, so that this is learnt too
    assert len(build_vocabulary("words", texts, min_count=1)[0]) == 9
    assert build_vocabulary("words", texts, min_count=3)[0].pieces(range(4, 5)) == ["b"]
    with pytest.raises(JumokError, match="no words occur 9 times"):
        build_vocabulary("words", texts, min_count=9)
    assert build_vocabulary("characters", texts)[0].pieces(range(4, 10)) == [" ", "b", "a", "c", "d", "e"]


def test_coverage_counts_what_runs():
    built, report = build_vocabulary("words", ["a a a b", "a c"])
    assert (report.coverage, report.round_trip, len(built)) == (pytest.approx(4 / 6), 0, 5)
    report = check_vocabulary(built, ["a a", "x"])
    assert (report.coverage, report.round_trip, report.sentences) == (pytest.approx(2 / 3), 0.5, 2)


@given(
    st.lists(st.text(min_size=1).filter(lambda entry: entry.encode("utf-8", "ignore").decode() == entry), unique=True)
)
def test_any_entries_survive_a_file(entries):
    built = WordVocabulary(entries)
    assert WordVocabulary.from_bytes(built.to_bytes()).pieces(range(len(built))) == [*SYMBOLS, *entries]


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("wrods", {}, "did you mean 'words'"),
        ("words", {"size": 4}, "a size above 4"),
        ("words", {"min_count": 0}, "min_count from 1"),
        ("bpe", {"character_coverage": 0.0}, "character_coverage above 0"),
        ("bpe", {"character_coverage": 1.1}, "character_coverage above 0"),
    ],
)
def test_wishes_that_cannot_be(kind, options, said):
    with pytest.raises(JumokError, match=said):
        build_vocabulary(kind, TEXTS, **options)


@pytest.mark.parametrize("kind", list(KINDS))
def test_no_text_gives_no_vocabulary(kind):
    with pytest.raises(JumokError, match="no sentence"):
        build_vocabulary(kind, ["", " "])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"rubbish",
        b"jumok-vocabulary/1 words",
        b"jumok-vocabulary/1 words ",
        b"jumok-vocabulary/1 words 2\na\n",
        b"jumok-vocabulary/1 words 2\na\na\n",
        b"jumok-vocabulary/1 words 2\na\n\n",
        b"jumok-vocabulary/1 words 2\na\nb",
        b"jumok-vocabulary/1 words x\na\n",
        b"jumok-vocabulary/1 letters 1\na\n",
        b"jumok-vocabulary/1 words 1\n\xff\n",
        b"jumok-vocabulary/1 words 1 1\na\n",
    ],
)
def test_damaged_files_are_told(tmp_path, content):
    path = tmp_path / "vocabulary"
    path.write_bytes(content)
    with pytest.raises(JumokError, match=r"vocabulary is damaged \(.*restore it") as caught:
        load_vocabulary(path)
    assert "\n" not in str(caught.value)


def test_files_that_are_missing_or_too_large(tmp_path, monkeypatch):
    with pytest.raises(JumokError, match="cannot read the vocabulary"):
        load_vocabulary(tmp_path / "none")
    monkeypatch.setattr(vocabulary_builder, "MOST_BYTES", 10)
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(JumokError, match="larger than"):
        load_vocabulary(tmp_path / "large")


def test_importing_takes_no_torch():
    script = "import sys, jumok.data.texts.vocabulary_builder, jumok.data.pairs.parts; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "False"
