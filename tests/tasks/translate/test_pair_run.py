import shutil
import unicodedata

import pytest
import torch
from pair_helpers import settings_of, untrained
from training_job import in_config

import jumok
from jumok.data.texts.vocabulary_builder import build_vocabulary
from jumok.errors import JumokError
from jumok.special_tokens import EOS, SOS
from jumok.tasks.classify.run import ImageRun
from jumok.tasks.running.run import Run
from jumok.tasks.translate.run import PairRun


@pytest.fixture(scope="module")
def run(reverser):
    return jumok.load(str(reverser))


@pytest.fixture(scope="module")
def sentences(reversals):
    return [line.split("\t")[0] for line in (reversals / "test.tsv").read_text().splitlines()][:30]


@pytest.fixture
def copy(reverser, tmp_path):
    return shutil.copytree(reverser, tmp_path / "copy")


@pytest.fixture(scope="module")
def korean(tmp_path_factory):
    """Runs of Korean words and characters that were not trained, and say what they say."""
    folder = tmp_path_factory.mktemp("korean")
    words = [f"{one}{two}" for one in "가나다라한글말" for two in "강물산들길"]
    (folder / "pairs.tsv").write_text("".join(f"{one} {two}\t{two} {one}\n" for one in words for two in words[:5]))
    return {
        kind: untrained(folder / kind, settings_of(folder / "pairs.tsv", vocabulary=kind, vocabulary_size=40))
        for kind in ("words", "characters", "unigram", "bpe")
    }


# -- translating -------------------------------------------------------------------------------


def test_a_trained_reverser_reverses(run, sentences):
    assert isinstance(run, PairRun)
    assert not run.model.training
    found = [best.text for best in run.translate(sentences)]
    right = [got == " ".join(text.split()[::-1]) for got, text in zip(found, sentences, strict=True)]
    assert sum(right) >= 0.9 * len(right)
    word, other = sentences[0].split()[:2]
    assert run.translate(f"  {word}\t{other}\u00a0").text == f"{other} {word}"


@pytest.mark.parametrize("beam", [1, 5])
def test_a_batch_gives_what_one_by_one_does(run, transformer, sentences, beam):
    for translator in (run, jumok.load(transformer)):
        together = translator.translate(sentences, beam=beam, n_best=beam)
        small = translator.translate(sentences, beam=beam, n_best=beam, batch_tokens=20)
        for text, *all_three in zip(sentences, together, small, strict=True):
            alone = ranked(translator.translate(text, beam=beam, n_best=beam))
            one, other = map(ranked, all_three)
            assert [best.ids for best in one] == [best.ids for best in alone] == [best.ids for best in other]
            assert [best.score for best in one] == pytest.approx([best.score for best in alone], abs=1e-5)


def test_a_beam_of_one_takes_the_likeliest_word_each_time(run, sentences):
    for text in sentences[:5]:
        source, written = torch.tensor([[*run.source.encode(text), EOS]]), [SOS]
        log_p = 0.0
        while written[-1] != EOS:
            step = run.model(source, torch.tensor([written]))[0, -1].log_softmax(-1)
            written.append(int(step[3:].argmax()) + 3)
            log_p += float(step[written[-1]].detach())
        best = run.translate(text, beam=1)
        assert best.ids == tuple(written[1:-1])
        assert best.text == run.target.decode(written)
        assert best.score == pytest.approx(log_p / (len(written) - 1), abs=1e-5)


def ranked(best):
    """A translation and those after it."""
    return [best, *best.others]


def test_several_are_given_the_best_first(run, sentences):
    for best in map(ranked, run.translate(sentences[:4], beam=6, n_best=3)):
        assert len({one.text for one in best}) == 3
        assert best == sorted(best, key=lambda one: -one.score)


def test_empty_sentences_get_empty_translations_in_their_place(run, sentences):
    found = run.translate(["", sentences[0], " \t\u3000", sentences[1]])
    assert [best.text != "" for best in found] == [False, True, False, True]
    assert run.translate([]) == []
    assert run.translate(["", " "])[1].ids == ()


def test_the_length_is_bounded(run):
    word = run.source.pieces([4])[0]
    assert len(run.translate([" ".join([word] * 5)], max_length=2)[0].ids) <= 2
    for best in run.translate([" ".join([word] * 40)], beam=1):
        assert len(best.ids) <= 2 * 40 + 20
    assert run.longest == 10 * 256


def test_learned_positions_bound_the_source(tmp_path, reversals):
    options = {"position": "learned", "max_length": 20}
    run = untrained(tmp_path, settings_of(reversals, system="transformer", options=options, longest=12))
    word = run.source.pieces([4])[0]
    assert run.longest == 19
    assert len(run.translate([" ".join([word] * run.longest)])[0].ids) <= 19


def test_each_sentence_says_what_is_unknown_and_what_is_too_long(run, sentences):
    texts = [sentences[0], "zebra " + sentences[1], " ".join([sentences[0]] * 30), ""]
    found = run.translate_each(texts, longest=40, beam=2)
    assert [one.source for one in found] == texts
    assert [one.best[0] for one in found[:2]] == run.translate(texts[:2], beam=2)
    assert [one.unknown for one in found] == [(), run.source.unknown(texts[1]), (), ()]
    assert found[1].unknown
    assert [one.too_long for one in found] == [False, False, True, False]
    assert [best.text for one in found[2:] for best in one.best] == ["", ""]
    assert [one.pair for one in found] == [None] * 4


def test_a_sentence_comes_in_pieces_with_its_best_translation(run, sentences):
    texts = [sentences[0], " ", " ".join([sentences[0]] * 30)]
    found = run.translate_each(texts, longest=40, beam=2, n_best=2, in_pieces=True)
    best = found[0].best[0]
    assert found[0].pair == (run.source.split(sentences[0]), run.target.regroup(best.ids))
    assert found[0].pair == run.split_pair(sentences[0], best.text)
    assert [one.pair for one in found[1:]] == [None, None]


@pytest.mark.parametrize("kind", ["words", "characters", "unigram", "bpe"])
def test_hangul_typed_as_letters_is_translated_alike(korean, kind):
    run = korean[kind]
    texts = ["가강 한들", "글길", "말산 나물"]
    apart = [unicodedata.normalize("NFD", text) for text in texts]
    assert apart != texts
    one, other = run.translate(texts, beam=3), run.translate(apart, beam=3)
    assert one == other
    assert any(best.text for best in one)
    assert all(best.text == unicodedata.normalize("NFC", best.text) for best in one)
    assert run.source.unknown(apart[0]) == ()


def test_case_is_lost_where_it_was_in_training(tmp_path):
    (tmp_path / "pairs.tsv").write_text("".join(f"Word{i} Ä{i}\tWORD{i}\n" for i in range(40)))
    run = untrained(tmp_path / "run", settings_of(tmp_path / "pairs.tsv", lowercase=True))
    assert run.cased("Word1 Ä2") == "word1 ä2"
    assert run.translate(["Word1 Ä2"]) == run.translate(["word1 ä2"])


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"beam": 2, "n_best": 3}, "n_best 3 is more than beam 2"),
        ({"beam": 0}, "1 or more"),
        ({"length_penalty": -1.0}, "length_penalty is 0 to 10"),
        ({"length_penalty": float("nan")}, "length_penalty is 0 to 10"),
    ],
)
def test_wishes_out_of_range_are_refused_even_where_there_is_nothing_to_do(run, wish, message):
    with pytest.raises(JumokError, match=message):
        run.translate([], **wish)


def test_one_sentence_gets_one_translation_and_a_list_gets_a_list(run, sentences):
    alone, (listed,) = run.translate(sentences[0]), run.translate([sentences[0]])
    assert alone == listed == run.predict(sentences[0])
    assert alone.label == alone.text
    assert run.translate(iter(sentences[:2])) == run.translate(sentences[:2])
    with pytest.raises(JumokError, match="got one string: put it in a list"):
        run.translate_each("hello")


# -- on disk -----------------------------------------------------------------------------------


def test_saved_and_read_it_is_the_same(run, sentences, tmp_path):
    run.save(tmp_path / "saved")
    again = PairRun.load(tmp_path / "saved")
    assert again.translate(sentences) == run.translate(sentences)
    assert again.config == run.config


def test_a_shared_vocabulary_is_one_file(tmp_path, reversals):
    run = untrained(tmp_path / "run", settings_of(reversals, shared=True))
    assert run.source is not None
    assert {path.name for path in (tmp_path / "run").glob("*.vocabulary")} == {"shared.vocabulary"}
    run.save(tmp_path / "again")
    assert len(Run.load(tmp_path / "again").source) == len(run.target)


def test_runs_of_another_kind_are_refused(reverser):
    with pytest.raises(
        JumokError, match="is a run that was trained to translate sentences: wanted one that was trained to clas"
    ):
        ImageRun.load(reverser)


def of_other_words(folder):
    """As many as there were, so that nothing but the words tells."""
    words = " ".join(f"w{number}" for number in range(12))
    build_vocabulary("words", [words], min_count=1)[0].save(folder / "source.vocabulary")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (of_other_words, r"source\.vocabulary is not the vocabulary that this run began with"),
        (lambda folder: (folder / "target.vocabulary").unlink(), r"cannot read the vocabulary .*target\.vocabulary"),
        (lambda folder: (folder / "target.vocabulary").write_bytes(b"\x80nonsense"), r"target\.vocabulary is damaged"),
        (lambda folder: (folder / "source.vocabulary").write_bytes(b""), r"source\.vocabulary is damaged"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "has no weights yet"),
        (in_config("\n    vocabulary: 16", "\n    vocabulary: 17"), "has 16 entries, but config.yaml says 17"),
        (in_config("source_vocabulary: 16", "source_vocabulary: 99"), r"vocabularies of \(99, 16\) entries but found"),
        (in_config("hidden: 48", "hidden: 50"), "do not fit the model"),
        (in_config("task: translate", "task: transcribe"), "no task 'transcribe': did you mean 'translate'"),
        (in_config("system: seq2seq", "system: vit-tiny"), "vit-tiny"),
    ],
)
def test_a_run_that_was_tampered_with_is_refused(copy, spoil, message):
    spoil(copy)
    with pytest.raises(JumokError, match=message):
        Run.load(copy)
