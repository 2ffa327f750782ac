import pytest
import sacrebleu

from jumok.errors import JumokError
from jumok.intervals import wilson
from jumok.tasks.translate.scores import Judge, choose_tokenizer, describe_splitting, score, sentence_chrf

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


# -- what BLEU counts ---------------------------------------------------------------------------

CHINESE = ["今天天气很好，我们去公园散步吧。", "他昨天买了一本新书。", "这个问题很难回答。", "请给我一杯热咖啡。"]


def test_text_without_spaces_is_split_as_its_script_wants():
    found = [text.replace("很", "真").replace("本", "册") for text in CHINESE]
    scores = score(found, CHINESE, resamples=0)
    assert scores.bleu == pytest.approx(sacrebleu.corpus_bleu(found, [CHINESE], tokenize="zh").score)
    assert scores.bleu > 70
    assert "tok:zh" in scores.bleu_signature
    assert "tok:13a" in score(found, CHINESE, tokenize="13a", resamples=0).bleu_signature
    assert score([text[:5] for text in found], CHINESE).length_ratio < 0.6


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["The cat sat.", "Ω 3.5"], "13a"),
        (["그는 집에 갔다.", "漢字가 조금 있다"], "13a"),
        (CHINESE, "zh"),
        (["ネコがねている。", "猫が寝ている。"], "char"),
        (["แมวกำลังนอนหลับ"], "char"),
        (["2026-11-22"], "13a"),
        (["", "..."], "13a"),
    ],
)
def test_the_script_chooses_the_split(texts, name, monkeypatch):
    monkeypatch.setattr("jumok.tasks.translate.scores.find_spec", lambda package: None)
    assert choose_tokenizer(texts) == name


@pytest.mark.parametrize(
    ("texts", "name", "said"),
    [
        (["ネコがねている。"], "ja-mecab", "BLEU splits Japanese by characters (char): for morphemes, pip install"),
        (["그는 집에 갔다."], "ko-mecab", "BLEU splits Korean at spaces (13a): for morphemes, pip install"),
        (["他昨天买了一本新书。"], "zh", ""),
        (["The cat sat."], "13a", ""),
    ],
)
def test_morphemes_are_chosen_where_they_are_installed_and_told_of_elsewhere(texts, name, said, monkeypatch):
    monkeypatch.setattr("jumok.tasks.translate.scores.find_spec", lambda package: object())
    assert (choose_tokenizer(texts), describe_splitting(texts)) == (name, "")
    monkeypatch.setattr("jumok.tasks.translate.scores.find_spec", lambda package: None)
    assert describe_splitting(texts).startswith(said)
    assert bool(describe_splitting(texts)) == bool(said)


def test_a_split_that_is_not_installed_is_told(monkeypatch):
    def missing(**_):
        raise RuntimeError("\nno MeCab\n")

    monkeypatch.setattr("jumok.tasks.translate.scores.BLEU", missing)
    with pytest.raises(JumokError, match=r"pip install 'sacrebleu\[ja\]'"):
        Judge(["猫"], tokenize="ja-mecab")


# -- intervals ----------------------------------------------------------------------------------


def test_one_right_translation_among_hopeless_ones_has_an_interval():
    wanted = ["the dog sleeps here", "a red house", "we saw it"]
    scores = score(["the dog sleeps here", "12345", ""], wanted)
    assert 0 <= scores.chrf_95[0] < scores.chrf < scores.chrf_95[1] <= 100
    assert scores.exact_95[0] < scores.exact < scores.exact_95[1]


def test_one_sentence_says_nothing_of_others():
    scores = score(["a b c d"], ["a b c d"])
    assert (scores.bleu_95, scores.chrf_95) == ((0, 100), (0, 100))


def test_resampled_scores_are_those_of_the_drawn_sentences():
    judge = Judge(WANTED, resamples=300)
    draws = judge.judge(FOUND).draws
    assert {name: values.shape for name, values in draws.items()} == dict.fromkeys(("bleu", "chrf", "exact"), (300,))
    assert set((4 * draws["exact"]).round(6)) <= {0, 1, 2, 3, 4}
    assert draws["exact"].mean() == pytest.approx(0.25, abs=0.05)
    all_right = draws["exact"] == 1
    assert draws["chrf"][all_right] == pytest.approx(100)


def test_differences_are_paired():
    judge = Judge(WANTED * 10, resamples=500)
    model, same = judge.judge(FOUND * 10), judge.judge(FOUND * 10)
    for gap in model.better_by(same).values():
        assert (gap.value, gap.low, gap.high) == (0, 0, 0)
    worse = [text[:-3] for text in FOUND * 10]
    gap = model.better_by(judge.judge(worse))["chrf"]
    assert gap.low > 0
    assert gap.high - gap.low < model.scores.chrf_95[1] - model.scores.chrf_95[0]
    assert gap.value == pytest.approx(model.scores.chrf - score(worse, WANTED * 10, resamples=0).chrf)


def test_translations_that_are_all_right_say_nothing_of_others_for_sure():
    wanted = [f"sentence number {number} of ten" for number in range(10)]
    found = score(wanted, wanted, tokenize="13a")
    for interval in (found.bleu_95, found.chrf_95):
        assert interval == pytest.approx((100 * wilson(10, 10)[0], 100))
    none = score(["xyz"] * 10, wanted, tokenize="13a")
    assert none.bleu_95 == pytest.approx((0, 100 * wilson(0, 10)[1]))
