from __future__ import annotations

import pytest
import torch

from jumok.errors import JumokError
from jumok.measures.faithfulness_meter import FaithfulnessMeter
from jumok.measures.word_units import SharedPasses, WordUnits, add_up_words

GOOD, BAD, UNKNOWN, PADDING = 7, 8, 1, 0


def mood(tokens, there):
    """A classifier that counts two words, and sees where they are."""
    assert (tokens[~there] == PADDING).all()
    counts = [((tokens == word) & there).sum(1) for word in (GOOD, BAD)]
    return 2 * torch.stack(counts, 1).float()


def test_replaced_words_leave_their_place_and_removed_ones_do_not():
    seen = []

    def forward(tokens, there):
        seen.append((tokens.tolist(), there.tolist()))
        return mood(tokens, there)

    units = WordUnits(forward, unknown=UNKNOWN, padding=PADDING)
    answers = units.answers(torch.tensor([5, GOOD, 6]), target=0)
    kept = torch.tensor([[False, True, True], [True, False, False], [False, False, False]])
    answers["replace"](kept)
    answers["remove"](kept)
    assert seen[0][0] == [[1, 7, 6], [5, 1, 1], [1, 1, 1]]
    assert seen[1] == ([[7, 6], [5, 0], [1, 0]], [[True, True], [True, False], [True, False]])


def test_words_of_several_tokens_go_together_and_special_ones_stay():
    seen = []

    def forward(tokens, there):
        seen.append(tokens.tolist())
        return mood(tokens, there)

    units = WordUnits(forward, unknown=UNKNOWN, fillings=["replace"])
    answer = units.answers(torch.tensor([2, 5, 6, 9, 3]), words=torch.tensor([-1, 0, 0, 1, -1]), target=0)["replace"]
    answer(torch.tensor([[False, True], [True, False]]))
    assert seen == [[[2, 1, 1, 9, 3], [2, 5, 6, 1, 3]]]
    assert add_up_words(torch.tensor([9.0, 1.0, 2.0, 4.0, 9.0]), torch.tensor([-1, 0, 0, 1, -1])).tolist() == [3, 4]


def test_words_that_a_model_counts_are_faithful():
    units = WordUnits(mood, unknown=UNKNOWN, padding=PADDING)
    meter = FaithfulnessMeter()
    draw = torch.Generator().manual_seed(0)
    for _ in range(40):
        tokens = torch.randint(20, 40, (int(torch.randint(5, 15, (1,), generator=draw)),), generator=draw)
        tokens[torch.randint(2, len(tokens), (1,), generator=draw)] = GOOD
        maps = {"true": (tokens == GOOD).float(), "noise": torch.rand(len(tokens), generator=draw)}
        meter.add(units.answers(tokens), maps, baselines=units.baselines(["word"] * len(tokens)))
    report = meter.report(noun="sentences")
    assert report.best() == "true"
    assert report.is_faithful("true")
    assert not report.is_faithful("noise")
    assert report.verdict("true").startswith("true: beats")
    assert "on 40 sentences" in report.verdict("true")
    assert report.constant == {"long words": 40}


def test_wrong_use_is_said():
    with pytest.raises(JumokError, match="did you mean 'remove'"):
        WordUnits(mood, fillings=["removed"])
    with pytest.raises(JumokError, match="as many words"):
        WordUnits(mood).answers(torch.zeros(3, dtype=torch.int64), words=torch.zeros(2, dtype=torch.int64))
    with pytest.raises(JumokError, match="one output per input"):
        WordUnits(lambda tokens, there: torch.zeros(len(tokens), 1)).answers(torch.arange(3))


def test_several_scores_of_one_text_share_what_was_asked():
    asked = []

    def forward(tokens, there):
        asked.extend(tokens.tolist())
        return mood(tokens, there)

    text = SharedPasses(forward, torch.tensor([GOOD, BAD, 3]), torch.tensor([0, 1, -1]), unknown=UNKNOWN)
    kept = torch.tensor([[True, True], [False, True], [True, False]])
    assert [text.answers(score)["replace"](kept).tolist() for score in (0, 1)] == [[2, 0, 2], [2, 2, 0]]
    assert asked == [[GOOD, BAD, 3], [UNKNOWN, BAD, 3], [GOOD, UNKNOWN, 3]]
    assert text.answers(0)["remove"](kept[1:]).tolist() == [0, 2]
    assert asked[3:] == [[BAD, 3], [GOOD, 3]]
    assert text.passes == 5
    with pytest.raises(JumokError, match="did you mean 'remove'"):
        SharedPasses(forward, torch.tensor([1]), torch.tensor([0]), fillings=["removed"])
