"""Searching by CTranslate2: what jumok's own search finds, and what it refuses."""

import pytest

from jumok.errors import JumokError
from jumok.special_tokens import EOS
from jumok.tasks.translate.run import PairRun

pytest.importorskip("ctranslate2")


@pytest.fixture(scope="module")
def sentences(reversals):
    return [line.split("\t")[0] for line in (reversals / "test.tsv").read_text().splitlines()][:40]


@pytest.fixture(scope="module")
def run(transformer):
    return PairRun.load(transformer)


@pytest.mark.parametrize(("beam", "n_best"), [(1, 1), (5, 1), (5, 3)])
def test_what_it_finds_is_what_jumok_finds(run, sentences, beam, n_best):
    texts = [*sentences, "", "ba"]
    own, theirs = (run.translate(texts, beam=beam, n_best=n_best, engine=engine) for engine in (None, "ctranslate2"))
    assert [best.ids for best in theirs] == [best.ids for best in own]
    assert [best.text for best in theirs] == [best.text for best in own]
    # what may never come has no share in their probabilities
    assert all(-1e-4 < other.score - one.score < 0.05 for one, other in zip(own, theirs, strict=True))
    assert all(len(best.others) <= n_best - 1 for best in theirs)


def test_whole_numbers_find_nearly_the_same(run, sentences):
    own, theirs = (run.translate(sentences, beam=1, engine=engine) for engine in (None, "ctranslate2-int8"))
    assert sum(one.text == other.text for one, other in zip(own, theirs, strict=True)) >= 0.8 * len(sentences)


def test_weights_that_changed_are_those_that_are_used(transformer, sentences):
    run = PairRun.load(transformer)
    before = run.translate(sentences[:5], engine="ctranslate2")
    run.model.output.bias.data[4] += 1e3
    own = run.translate(sentences[:5], max_length=4)
    assert [best.ids for best in own] != [best.ids for best in before]
    assert [best.ids for best in run.translate(sentences[:5], max_length=4, engine="ctranslate2")] == [
        best.ids for best in own
    ]


def test_as_many_tokens_as_were_asked_for_come(transformer):
    endless = PairRun.load(transformer)
    endless.model.output.bias.data[EOS] = -1e4
    (found,) = endless.translate(["ba"], max_length=1500, beam=1, engine="ctranslate2")
    assert len(found.ids) == 1500
    for length in (-1, 10**8):
        with pytest.raises(JumokError, match=r"max_length is 0 to 16,384, got"):
            endless.translate(["ba"], max_length=length, engine="ctranslate2")


def test_what_it_cannot_do_is_said(run, reverser):
    with pytest.raises(JumokError, match="no engine 'ctranslate': did you mean 'ctranslate2'"):
        run.translate("ba", engine="ctranslate")
    with pytest.raises(JumokError, match="precision bf16 is of jumok's own search"):
        run.translate("ba", engine="ctranslate2", precision="bf16")
    with pytest.raises(JumokError, match="n_best 3 is more than beam 2"):
        run.translate("ba", engine="ctranslate2", beam=2, n_best=3)
    with pytest.raises(
        JumokError, match="CTranslate2 knows Transformers, and seq2seq is recurrent: leave --engine out"
    ):
        PairRun.load(reverser).translate("ba", engine="ctranslate2")


def test_the_command_translates_as_without_it(jumok, transformer, sentences, tmp_path):
    (tmp_path / "in.txt").write_text("\n".join(sentences))
    own = jumok("translate", transformer, tmp_path / "in.txt")
    fast = jumok(
        "translate", transformer, tmp_path / "in.txt", "--engine", "ctranslate2", "--align", tmp_path / "links.txt"
    )
    assert (fast.status, fast.err) == (0, "")
    assert fast.out == own.out
    assert len((tmp_path / "links.txt").read_text().splitlines()) == len(sentences)
    said = jumok("translate", transformer, "ba", "--engine", "ctranslate2-int4")
    assert said.status == 2
    assert "no engine 'ctranslate2-int4': did you mean 'ctranslate2-int8'" in said.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--engine", "ctranslate2", "--processes", "2"], "no use for --processes: they say how a data set is written"),
        (["--engine", "ctranslate2", "--precision", "bf16"], "no use for --precision: ctranslate2 computes in float32"),
        (["--engine", "ctranslate"], "no engine 'ctranslate': did you mean 'ctranslate2'"),
    ],
)
def test_options_that_it_has_no_use_for_are_said(jumok, transformer, given, said):
    found = jumok("translate", transformer, "ba", *given)
    assert found.status == 2
    assert said in found.err
    assert found.out == ""
