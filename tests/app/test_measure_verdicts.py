"""What `jumok measure` says of maps against baselines, in a line each."""

from dataclasses import replace

from jumok.app.classify.measure import verdicts
from jumok.intervals import Interval
from jumok.measures.report import TITLES, MethodScores, Report, ScoreDifference

BETTER, NOT_SO = Interval(0.3, 0.1, 0.5), Interval(0.1, -0.1, 0.3)


def report(**gains):
    """One method's report, with what it gains over each baseline."""
    names = [name.replace("_", "-") for name in gains]
    scores = dict.fromkeys(TITLES, Interval(0.5, 0.4, 0.6))
    every = [
        ScoreDifference("ours", name, dict.fromkeys(TITLES, gain))
        for name, gain in zip(names, gains.values(), strict=True)
    ]
    baselines = tuple(MethodScores(name, scores, 9) for name in names)
    return Report((MethodScores("ours", scores, 9),), baselines, tuple(every), 0.1, {}, 9, 0, 0, 0, 0.95, 100, 0)


def test_every_baseline_of_the_report_is_spoken_of():
    said = verdicts(report(random=BETTER, centre=NOT_SO, edges=BETTER, question_blind=NOT_SO))
    assert said == [
        f"ours, {title}: better than random, edges; not significantly better than centre, question-blind"
        for title in ("pointing game", "AUPRC")
    ]
    assert verdicts(report(random=BETTER))[0] == "ours, pointing game: better than random"
    assert (
        verdicts(report(question_blind=NOT_SO))[0]
        == "ours, pointing game: not significantly better than question-blind"
    )


def test_methods_that_beat_the_same_baselines_share_a_line():
    first = report(random=BETTER, edges=NOT_SO)
    other = [replace(each, method="other") for each in first.differences]
    third = [replace(each, method="third", scores=dict.fromkeys(TITLES, BETTER)) for each in first.differences]
    methods = tuple(replace(first.methods[0], method=name) for name in ("ours", "third", "other"))
    said = verdicts(replace(first, methods=methods, differences=(*first.differences, *other, *third)))
    assert said == [
        line
        for title in ("pointing game", "AUPRC")
        for line in (
            f"ours, other, {title}: better than random; not significantly better than edges",
            f"third, {title}: better than random, edges",
        )
    ]
