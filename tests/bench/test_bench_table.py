"""What the benches share: verdicts, timing in turns, rows that fail, the file, what moved, and the page."""

import json
import math
import os
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # `bench` is no part of the installed package

import bench.__main__ as command
from bench import measuring, results, speed_page
from bench.machine import Machine
from bench.measuring import QUICK, LeftOut, Ratio, Samples, in_turns, interleaved, ratio, rounds
from bench.table import Row, gather, print_rows, write_cells

HERE = Machine(
    "a processor", 2, 2, {"L1": "32K"}, ["avx2"], 8.0, {"python": "3.11", "torch": "2.0"}, {"float32": 94.0}, 20.0
)


@pytest.mark.parametrize(
    ("value", "goal", "verdict"),
    [
        (1.2, ">= 1.1", "met"),
        (1.0, ">= 1.1", "missed"),
        (1.1, "<= 1.15", "met"),
        (1.2, "<= 1.15", "missed"),
        (5.0, "", ""),
        (Ratio(1.2, 1.15, 1.3, 9), ">= 1.1", "met"),
        (Ratio(1.2, 1.05, 1.3, 9), ">= 1.1", "undecided"),
        (Ratio(1.0, 0.9, 1.2, 9), ">= 1.1", "undecided"),
        (Ratio(1.0, 0.9, 1.05, 9), ">= 1.1", "missed"),
        (Ratio(1.1, 1.0, 1.2, 9), "<= 1.15", "undecided"),
    ],
)
def test_a_goal_is_met_where_both_quartiles_reach_it(value, goal, verdict):
    assert Row("claim", value, goal, 1.0, 1.0, "s").verdict == verdict


def test_steps_take_turns_and_pairs_count(monkeypatch):
    clock, ran = [0.0], []
    costs = {"a": iter([9, 9, 1, 2, 30, 3, 2]), "b": iter([9, 9, 4, 4, 4, 3, 4])}

    def step(name):
        ran.append(name)
        clock[0] += next(costs[name])

    monkeypatch.setattr(measuring.time, "perf_counter", lambda: clock[0])
    times = interleaved({name: lambda name=name: step(name) for name in "ab"}, 3)
    assert dict(times) == {"a": 2, "b": 4}
    assert ratio(times, "b", "a") == Ratio(2.0, 1.0, 2.0, 5)  # at least 5 pairs, whatever is asked for
    assert "".join(ran) == "baab" + "baabbaabba"


def test_quick_is_known_to_processes_that_are_started(monkeypatch):
    assert rounds(9) == 9
    monkeypatch.setenv(QUICK, "1")
    assert rounds(9) == 2
    seconds, memory = in_turns(["one", "other"], 9, lambda name: (len(name), 7.0))
    assert seconds.values_of == {"one": [3, 3], "other": [5, 5]}
    assert memory["one"] == 7


def test_a_part_that_fails_is_a_row_and_the_others_go_on(capsys):
    def fails():
        raise RuntimeError("no such kernel\nand more")

    def left_out():
        raise LeftOut("no peer here")

    def lacks_a_peer():
        raise ModuleNotFoundError("No module named 'quantus'", name="quantus")

    assert gather([("d", lacks_a_peer)])[0].verdict == "left out"
    rows = gather([("a", fails), ("b", left_out), ("c", lambda: [Row("fine", 2.0, ">= 1", 1.0, 2.0, "s")])])
    assert [row.verdict for row in rows] == ["failed", "left out", "met"]
    assert [row.note for row in rows] == ["RuntimeError: no such kernel and more", "no peer here", ""]
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("unit", "ours", "limit"), [("images/s", 50.0, 100.0), ("ms", 4.0, 2.0)])
def test_the_limit_is_a_share_of_the_time_whatever_the_unit(unit, ours, limit):
    assert Row("claim", 1.0, "", ours, None, unit, limit=limit).of_limit == 2
    assert Row("claim", 1.0, "", ours, None, unit).of_limit is None


def rows(middle=1.25, low=1.2, high=1.3):
    return [
        Row("faster", Ratio(middle, low, high, 9), ">= 1.1", 90.0, 72.0, "images/s", "note", 180.0, "at peak"),
        Row("peer gone", note="not [installed]", trouble="left out"),
    ]


def test_results_are_kept_bench_by_bench_with_commit_and_machine(tmp_path, capsys):
    path = tmp_path / "speed.json"
    results.keep(path, "one", rows(), HERE)
    results.keep(path, "two", rows(), HERE)
    found = results.keep(path, "one", rows(2.0, 1.9, 2.1), HERE)
    kept = results.read(path)
    assert list(kept) == ["one", "two"]
    assert kept["one"] == json.loads(json.dumps(found))
    assert (found["rows"][0]["ratio"], found["rows"][0]["of_limit"], found["rows"][1]["ratio"]) == (2.0, 2.0, None)
    assert found["commit"]
    assert Machine(**found["machine"]) == HERE
    print_rows(HERE.line, found["rows"])
    printed = capsys.readouterr().out
    assert "a processor, 2 threads on 2 cores" in printed
    assert "1.90-2.10" in printed
    assert "not [installed]" in printed


def test_a_miss_says_where_the_time_goes_and_what_is_met_does_not():
    missed = Row("slow", 0.9, ">= 1", 1.0, 1.0, "s", spent="products of matrices 90%")
    assert write_cells(missed.to_dict())[-1] == "time: products of matrices 90%"
    assert write_cells((Row("fast", 1.1, ">= 1", 1.0, 1.0, "s", spent="products of matrices 90%")).to_dict())[-1] == ""


def test_only_what_moved_by_more_than_the_noise_is_told(tmp_path):
    def found(*given):
        return {"bench": results.keep(tmp_path / "a.json", "bench", given, HERE)}

    old = found(*rows())
    assert list(results.compare(old, found(*rows(1.28, 1.25, 1.4)))) == []
    assert list(results.compare(old, found(*rows(2.0, 1.9, 2.1)))) == [
        "bench: faster: 1.25 (1.20-1.30) -> 2.00 (1.90-2.10)"
    ]
    assert list(results.compare(old, found(rows()[0], Row("new", 1.0)))) == [
        "bench: new: new",
        "bench: gone: peer gone",
    ]


@pytest.mark.parametrize("content", ["", "[]", '{"format": 9}'])
def test_another_file_is_no_file_of_results(content, tmp_path):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match="holds no results"):
        results.read(tmp_path / "a.json")


def test_the_page_is_made_from_the_file(tmp_path):
    results.keep(tmp_path / "a.json", "some_bench", rows(), HERE)
    page = speed_page.write_page(results.read(tmp_path / "a.json"))
    assert "## some bench" in page
    assert "| faster | 1.25 | 1.20-1.30 | >= 1.1 | met | 90 | 72 | images/s | 180 | 2 | note; limit: at peak |" in page
    assert "products float32 94 GFLOP/s, copies 20.0 GB/s" in page
    assert "nan" not in page


def test_cells_have_few_pairs_told():
    cells = write_cells(Row("few", Ratio(1.0, 0.9, 1.1, 2), "", 1.0, math.nan, "s").to_dict() | {"peer": None})
    assert cells[2] == "0.90-1.10 (2 pairs)"


def test_every_bench_can_be_asked_for():
    found = {path.stem for path in Path(command.__file__).parent.glob("*.py") if "\ndef run(" in path.read_text()}
    assert set(command.BENCHES) == found
    assert command._read(["gates", "--quick"]).names == ["gates"]
    with pytest.raises(SystemExit):
        command._read(["gate"])


def test_on_a_gpu_run_those_that_can(capsys):
    assert set(command.ON_CARD) < set(command.BENCHES)
    assert command._read(["gates", "--device", "cuda"]).out.name == "speed-cuda.json"
    with pytest.raises(SystemExit):
        command._read(["saliency", "--device", "cuda"])
    assert "saliency has no form for cuda: those that have one are watch_cost" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured_on_one(capsys, monkeypatch):
    monkeypatch.setattr(command, "pin", lambda threads: threads)
    monkeypatch.setattr(command.os, "environ", dict(os.environ))
    assert command.main(["gates", "--device", "cuda"]) == 2
    assert "torch finds no GPU here; leave it out" in capsys.readouterr().err


def test_samples_are_read_by_their_medians():
    assert dict(Samples({"a": [3.0, 1.0, 2.0]})) == {"a": 2.0}
