"""`jumok measure` of sentence pairs without true links, and the reading that a run shows: the most faithful one."""

import json
import shutil

import pytest
import torch
from pair_helpers import SMALL

from jumok.app import training
from jumok.app.measuring import Plan
from jumok.app.translate import faithful
from jumok.app.translate.faithful import measure_faithfulness
from jumok.attention import AttentionMap, Tokens
from jumok.attention.word_alignment import Aligned
from jumok.special_tokens import UNK
from jumok.tasks.running.trust import Trust, read_trust, write_trust
from jumok.tasks.translate.run import PairRun

READINGS = ("right", "wrong")


# -- values by closed form ------------------------------------------------------------------------


@pytest.fixture
def made_up(reverser, reversals, monkeypatch):
    """A translator whose every word depends on the source word that it reverses, and maps that know it, or do not."""

    def align(run, pairs, *, pieces):
        return [_align(*map(len, (source.words, target.words)), source, target) for source, target in pairs]

    def _align(rows, columns, source, target):
        right = torch.eye(max(rows, columns)).flip(1)[-columns:, :rows]
        keys, queries = (Tokens(tuple(side.words)) for side in (source, target))
        maps = {"right": AttentionMap(right, queries, keys), "wrong": AttentionMap(-right, queries, keys)}
        return Aligned(tuple(source.words), tuple(target.words), maps)

    def read(run, sources, target):
        there = (sources[:, :-1] != UNK).flip(1)
        return 0.5 + 0.5 * there

    monkeypatch.setattr("jumok.tasks.translate.aligning.align", align)
    monkeypatch.setattr("jumok.tasks.translate.forced.read_word_probabilities", read)
    run = PairRun.load(reverser)
    sources = [line.split("\t")[0] for line in (reversals / "test.tsv").read_text().splitlines()]
    pairs = [one.pair for one in run.translate_each(sources, in_pieces=True, beam=1)]
    whole = [text for text, pair in zip(sources, pairs, strict=True) if len(pair[0].words) == len(pair[1].words)]
    return run, whole


def test_a_reading_of_what_words_depend_on_is_faithful_and_its_opposite_is_not(made_up):
    run, sources = made_up
    found = measure_faithfulness(run, sources, READINGS, Plan(("replace",), 12, 100), seed=0)
    right, wrong = (found.report.srg(name, "replace") for name in READINGS)
    # of n source words one decides: deletion is 3/4n + (n - 1)/2n, insertion (n - 1)/n + 3/4n
    lengths = torch.tensor([len(text.split()) for text in sources]).double()
    assert right.value == pytest.approx(float((0.5 * (lengths - 1) / lengths).mean()))
    assert right.low > 0
    assert (wrong.value, wrong.high) == pytest.approx((-right.value, -right.low))
    assert found.report.best() == "right"
    assert found.sentences == len(sources)
    assert found.report.inputs == lengths.sum()


def test_so_many_words_of_a_sentence_are_measured_at_most(made_up, monkeypatch):
    run, sources = made_up
    monkeypatch.setattr(faithful, "WORDS_EACH", 2)
    found = measure_faithfulness(run, sources, READINGS, Plan(("replace",), 3, 10), seed=0)
    assert (found.sentences, found.report.inputs) == (10, 20)


def test_sentences_whose_words_have_no_order_are_left_out(made_up):
    run, sources = made_up
    found = measure_faithfulness(run, [*sources[:9], "bo"], READINGS, Plan(("replace",), 3, 100), seed=0)
    assert (found.sentences, found.left_out) == (9, 1)


# -- the command ----------------------------------------------------------------------------------


def test_measuring_needs_no_links(jumok, reverser, reversals, tmp_path):
    said = jumok("measure", reverser, reversals / "test.tsv", "--out", tmp_path)
    assert (said.status, said.err) == (0, "")
    found = json.loads((tmp_path / "measure.json").read_text())
    report = found["faithfulness"]
    assert found["alignments"] is None
    assert "methods" not in found
    assert set(report["methods"]) == {"attention", "attention, next step"}
    assert set(report["baselines"]) == {"random", "diagonal", "other word"}
    assert report["fillings"] == ["replace", "remove"]
    assert report["best"] == "attention"  # what it reverses is what it attends to
    gaps = [gap["scores"] for gap in report["differences"] if gap["method"] == "attention"]
    assert all(scores[f"srg, {filling}"]["low"] > 0 for scores in gaps for filling in report["fillings"])
    assert all(verdict in said.out for verdict in report["verdicts"])
    assert "source words, 60 sentences (intervals count each once): " in said.out
    assert (tmp_path / "faithfulness.png").is_file()


def test_the_time_and_the_sentences_are_bounded(jumok, reverser, reversals, tmp_path):
    words = ("measure", reverser, reversals / "test.tsv", "--out", tmp_path / "out", "--fillings", "remove")
    said = jumok(*words, "--most", 12, "--method", "attention")
    assert "source words, 12 sentences" in said.out
    said = jumok(*words, "--time", "1ms")
    assert said.status == 2
    assert said.err.count("\n") == 1


# -- the reading that is shown --------------------------------------------------------------------


def test_a_training_ends_with_the_most_faithful_reading(jumok, reversals, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SHARE_FOR_TRUST", 500.0)
    said = jumok("train", reversals, "--out", tmp_path / "run", *SMALL, "--epochs", 1)
    assert said.status == 0, said.err
    trust = read_trust(tmp_path / "run")
    assert trust.why() in said.out
    assert "validation target words" in trust.why()


def test_a_run_shows_the_reading_that_was_most_faithful(jumok, reverser, reversals, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(reverser, run)
    trust = Trust(method="attention, next step", verdict="it beats chance", inputs=99, noun="target words")
    write_trust(run, trust)
    sentence = (reversals / "test.tsv").read_text().partition("\t")[0]
    words = ("translate", run, sentence, "--align", tmp_path / "links")
    said = jumok(*words)
    assert said.status == 0, said.err
    assert said.err == f"jumok: reading: {trust.why()}\n"
    next_step = (tmp_path / "links").read_text()
    assert jumok(*words, "--reading", "attention").err == ""
    assert (tmp_path / "links").read_text() != next_step
