import gzip
import unicodedata

import pytest
import yaml
from pair_helpers import settings_of

from jumok.data.pairs.pair_set import read_pairs
from jumok.errors import JumokError
from jumok.tasks.translate import prepare
from jumok.tasks.translate.settings import PairData, RunConfig, Settings

WORDS = ["하나", "둘", "셋", "넷", "다섯", "여섯", "일곱"]
PAIRS = [(f"{WORDS[i % 7]} {WORDS[i // 7]} {i}", f"{i} word{i % 7} Word{i // 7}") for i in range(49)]


@pytest.fixture
def files(tmp_path):
    """The same pairs as one file, as two, packed, and in a folder."""
    sides = [[pair[side] for pair in PAIRS] for side in (0, 1)]
    (tmp_path / "pairs.tsv").write_text("".join(f"{one}\t{two}\tmore\n" for one, two in PAIRS))
    for side, ending in zip(sides, ("ko", "en"), strict=True):
        (tmp_path / f"pairs.{ending}").write_text("\n".join(side) + "\n")
        (tmp_path / f"pairs.{ending}.gz").write_bytes(gzip.compress("\n".join(side).encode()))
        for part, share in (("train", slice(0, 39)), ("val", slice(39, 44)), ("test", slice(44, 49))):
            (tmp_path / "folder").mkdir(exist_ok=True)
            (tmp_path / "folder" / f"{part}.{ending}").write_text("\n".join(side[share]) + "\n")
    return tmp_path


def test_one_file_two_files_and_packed_ones_give_the_same(files):
    found = [
        prepare.prepare(settings_of(*(files / name for name in names)))
        for names in (["pairs.tsv"], ["pairs.ko", "pairs.en"], ["pairs.ko.gz", "pairs.en.gz"])
    ]
    first = found[0].config.found
    assert first.counts == {"train": 45, "val": 2, "test": 2}
    assert all(prepared.config.found == first for prepared in found)
    batches = [next(iter(prepared.train)) for prepared in found]
    assert all(batch.source.tolist() == batches[0].source.tolist() for batch in batches)


def test_a_folder_has_its_own_parts(files):
    settings = settings_of(files / "folder", languages=("ko", "en"))
    prepared = prepare.prepare(settings)
    assert prepared.config.found.counts == {"train": 39, "val": 5, "test": 5}
    assert prepare.find_parts(settings.data, 0)["val"].targets == tuple(target for _, target in PAIRS[39:44])
    assert sum(len(batch.target) for batch in prepared.val) == 5
    assert prepare.prepare(settings_of(files / "folder", languages=("en", "ko"))).config.found.counts["val"] == 5


def test_hangul_typed_as_letters_gives_the_same_ids(files):
    apart = files / "apart.tsv"
    apart.write_text(unicodedata.normalize("NFD", (files / "pairs.tsv").read_text()))
    assert apart.read_bytes() != (files / "pairs.tsv").read_bytes()
    for vocabulary in ("unigram", "words", "characters"):
        data = {"vocabulary": vocabulary, "vocabulary_size": 80}
        one, other = (prepare.prepare(settings_of(path, **data)) for path in (files / "pairs.tsv", apart))
        assert one.config.found == other.config.found
        assert one.source.to_bytes() == other.source.to_bytes()
        text = "하나 둘"
        assert one.source.encode(text) == one.source.encode(unicodedata.normalize("NFD", text)) != []


def test_backwards_and_lower_case(files):
    prepared = prepare.prepare(settings_of(files / "pairs.tsv", backwards=True, lowercase=True))
    assert prepared.source.unknown("word3 word1") == ()
    assert prepared.source.unknown("Word3") == ("Word3",)
    assert prepared.target.unknown("하나") == ()


def test_one_vocabulary_for_both(files):
    prepared = prepare.prepare(settings_of(files / "pairs.tsv", shared=True))
    assert prepared.source is prepared.target
    assert prepared.config.options["shared"] is True
    assert prepared.config.found.source == prepared.config.found.target
    assert any(line.startswith("both languages: ") for line in prepared.remarks)


def test_files_are_recorded_by_names_that_hold_anywhere(files, monkeypatch):
    monkeypatch.chdir(files)
    given = {"val_pairs": ("folder/val.ko", "folder/val.en"), "test_pairs": ("folder/test.ko", "folder/test.en")}
    prepared = prepare.prepare(settings_of("pairs.tsv", **given))
    prepared.write(files / "run")
    monkeypatch.chdir("/")
    config = RunConfig.load(files / "run" / "config.yaml")
    assert config.data.val_pairs == tuple(str(files / name) for name in given["val_pairs"])
    assert prepare.resume(config, files / "run").config == prepared.config


def test_rare_words_are_unknown_unless_it_is_said_otherwise(files):
    default, all_known = (prepare.prepare(settings_of(files / "pairs.tsv", min_count=count)) for count in (None, 1))
    assert len(default.source) == 4 + 7
    assert len(all_known.source) > 40
    assert default.config.found.source.coverage < all_known.config.found.source.coverage == 1


def test_what_is_kept_for_validation_and_testing(files):
    path = files / "pairs.tsv"

    def counts(**data):
        return {part: len(found) for part, found in prepare.find_parts(settings_of(path, **data).data, 0).items()}

    assert counts() == {"train": 45, "val": 2, "test": 2}
    assert counts(val_fraction=0.2) == {"train": 37, "val": 10, "test": 2}
    assert counts(test_fraction=0.0) == {"train": 47, "val": 2, "test": 0}
    with pytest.raises(JumokError, match=r"--val-fraction 0.6 and --test-fraction 0.4 leave nothing"):
        counts(val_fraction=0.6, test_fraction=0.4)


def test_of_a_large_file_a_bounded_number_is_kept_back(tmp_path):
    path = tmp_path / "large.tsv"
    path.write_text("".join(f"a{i}\tb{i}\n" for i in range(60_000)))
    found = prepare.find_parts(PairData(pairs=(str(path),)), 0)
    assert [len(found[part]) for part in ("val", "test")] == [2000, 2000]


def test_long_pairs_are_left_out_and_counted(files):
    (files / "long.tsv").write_text((files / "pairs.tsv").read_text() + "a b c d e\tx\nx\ta b c d e\n\tempty\n")
    prepared = prepare.prepare(settings_of(files / "long.tsv", longest=4))
    assert prepared.config.found.skipped == {"empty": 1, "long": 2}
    assert sum(prepared.config.found.counts.values()) == 49
    assert "2 pairs skipped: too many tokens (--longest)" in prepared.remarks
    with pytest.raises(JumokError, match=r"none of the 45 train pairs has at most 2 tokens a side: raise --longest"):
        prepare.prepare(settings_of(files / "pairs.tsv", longest=2))


@pytest.mark.parametrize("training", [{"teacher_forcing": 0.5}, {"sampling": 0.1}])
def test_a_transformer_cannot_be_fed_its_own_words(files, training):
    with pytest.raises(JumokError, match="leave out --teacher-forcing and --sampling, or use seq2seq"):
        prepare.prepare(settings_of(files / "pairs.tsv", system="transformer", training=training))
    assert prepare.prepare(settings_of(files / "pairs.tsv", training=training)).training.epochs == 3


def test_learned_positions_must_suffice(files):
    options = {"position": "learned", "max_length": 10}
    with pytest.raises(JumokError, match="--longest 10 leaves no room among 10 learned positions: lower it to 9"):
        prepare.prepare(settings_of(files / "pairs.tsv", system="transformer", options=options, longest=10))
    prepare.prepare(settings_of(files / "pairs.tsv", system="transformer", options=options, longest=9))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source_vocabulary": 9}, "the option 'source_vocabulary' follows from the data"),
        ({"shared": True}, "the option 'shared' follows from the data"),
        ({"hiden": 4}, "no option 'hiden': did you mean 'hidden'"),
    ],
)
def test_options_that_do_not_do_are_found_before_the_data_is_read(options, message):
    with pytest.raises(JumokError, match=message):
        prepare.prepare(settings_of("nowhere.tsv", options=options))


def test_settings_are_checked():
    for values, message in (
        ({"data": {"vocabulary": "letters"}}, "--vocabulary is 'letters'; wanted 'unigram'"),
        ({"training": {"sampling": 2}}, "--sampling is 2; wanted >= 0, <= 1"),
        ({"data": {"pairs": ["a", "b", "c"]}}, "--pairs is"),
        ({"data": {"batch_tokens": 5}}, "unknown key 'data.batch_tokens': it belongs under 'training'"),
        ({"training": {"flips": "none"}}, "unknown key 'training.flips'"),
    ):
        with pytest.raises(JumokError, match=message):
            Settings.read(None, values)


def test_a_run_can_be_trained_again_on_other_data_from_its_config(files, tmp_path):
    prepared = prepare.prepare(settings_of(files / "pairs.tsv"))
    prepared.write(tmp_path / "run")
    values = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert values["options"]["source_vocabulary"] == len(prepared.source)
    again = Settings.read(tmp_path / "run" / "config.yaml")
    assert not {"source_vocabulary", "target_vocabulary", "shared"} & again.options.keys()
    assert prepare.prepare(again).config.found == prepared.config.found


def test_other_pairs_than_at_the_beginning_are_refused(files, tmp_path):
    path = tmp_path / "pairs.tsv"
    prepared = prepare.prepare(settings_of(path))
    prepared.write(tmp_path / "run")
    assert len(read_pairs([path])) == 49
    path.write_text(path.read_text().replace("word3", "word4"))
    with pytest.raises(JumokError, match="are not those that this run began with"):
        prepare.resume(prepared.config, tmp_path / "run")
