import pytest
import sacrebleu

from jumok.errors import JumokError
from jumok.tasks.translate.scores import score, sentence_chrf

WANTED = ["The cat sat on the mat today .", "A dog barks at the red car .", "그는 집에 갔다 .", "nothing to see here"]
FOUND = ["The cat sat on a mat today .", "A dog barks at a red bus .", "그는 집에 갔다 .", "Nothing to see"]


def test_bleu_and_chrf_are_those_of_sacrebleu_and_say_how():
    scores = score(FOUND, WANTED, resamples=0)
    bleu, chrf = sacrebleu.corpus_bleu(FOUND, [WANTED]), sacrebleu.corpus_chrf(FOUND, [WANTED])
    assert 20 < scores.bleu < 90
    assert (scores.bleu, scores.chrf) == (pytest.approx(bleu.score), pytest.approx(chrf.score))
    assert {"tok:13a", "case:mixed", "nrefs:1"} <= set(scores.bleu_signature.split("|"))
    assert {"nc:6", "nw:0"} <= set(scores.chrf_signature.split("|"))
    assert f"version:{sacrebleu.__version__}" in scores.bleu_signature
    assert scores.bleu_95 == (scores.bleu, scores.bleu)


def test_counts_and_lengths():
    scores = score(FOUND, WANTED, resamples=0)
    assert scores.sentences == 4
    assert scores.exact == 0.25
    assert scores.length_ratio == pytest.approx(23 / 24)


def test_intervals_are_resampled_and_hold_the_score():
    one, other = (score(FOUND, WANTED, resamples=200) for _ in range(2))
    assert one == other
    for value, (low, high) in ((one.bleu, one.bleu_95), (one.chrf, one.chrf_95)):
        assert 0 <= low < value < high <= 100
    assert "bs:200" in one.bleu_signature


def test_case_counts_unless_it_is_said_not_to():
    with_case, without = (score(["HELLO World"], ["hello world"], lowercase=lower, resamples=0) for lower in (0, 1))
    assert with_case.exact == 0
    assert without.exact == 1
    assert with_case.chrf < without.chrf == 100
    assert "case:lc" in without.bleu_signature


@pytest.mark.parametrize(("found", "wanted"), [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_as_many_translations_as_references_are_wanted(found, wanted):
    with pytest.raises(JumokError, match=f"got {len(found)} translations for {len(wanted)} references"):
        score(found, wanted)


def test_one_sentence():
    assert sentence_chrf("abc", "abc") == 100
    assert sentence_chrf("", "abc") == 0
    assert sentence_chrf(FOUND[0], WANTED[0]) == pytest.approx(sacrebleu.sentence_chrf(FOUND[0], [WANTED[0]]).score)
