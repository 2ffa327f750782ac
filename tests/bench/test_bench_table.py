"""What the benches share: goals, timing in turns, the table and the file."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # `bench` is no part of the installed package

from bench import table
from bench.table import Row, interleaved, ratio


@pytest.mark.parametrize(
    ("value", "goal", "met"),
    [(1.2, ">= 1.1", True), (1.0, ">= 1.1", False), (1.1, "<= 1.15", True), (1.2, "<= 1.15", False), (5.0, "", None)],
)
def test_goals(value, goal, met):
    assert Row("claim", value, goal, 1.0, 1.0, "s").met is met


def test_steps_take_turns_and_medians_count(monkeypatch):
    clock, ran = [0.0], []
    costs = {"a": iter([9, 9, 1, 2, 30]), "b": iter([9, 9, 4, 4, 4])}

    def step(name):
        ran.append(name)
        clock[0] += next(costs[name])

    monkeypatch.setattr(table.time, "perf_counter", lambda: clock[0])
    times = interleaved({name: lambda name=name: step(name) for name in "ab"}, rounds=3, warm_up=2)
    assert times == {"a": 2, "b": 4}
    assert ratio(times, "b", "a") == 2
    assert "".join(ran) == "baabbaabba"


def test_report_keeps_the_rows_and_says_whether_all_goals_are_met(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(table, "RESULTS", tmp_path)
    rows = [Row("faster", 1.25, ">= 1.1", 90.0, 72.0, "images/s", "note"), Row("share", 0.8, "", 8.0, 10.0, "GFLOP/s")]
    assert table.report("speed", rows) is True
    assert table.report("speed", [*rows, Row("slow", 0.9, ">= 1.1", 9.0, 10.0, "s")]) is False
    kept = json.loads((tmp_path / "speed.json").read_text())
    assert [row["met"] for row in kept["rows"]] == [True, None, False]
    assert kept["rows"][0]["ratio"] == 1.25
    assert kept["machine"]["torch"]
    printed = capsys.readouterr().out
    assert "faster" in printed
    assert "missed" in printed
