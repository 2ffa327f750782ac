import json

import pytest
from pair_helpers import settings_of, untrained
from PIL import Image


@pytest.fixture(scope="module")
def blind(tmp_path_factory, reversals):
    folder = tmp_path_factory.mktemp("blind") / "run"
    untrained(folder, settings_of(reversals, options={"score": "none"}))
    return folder


def test_the_reverser_s_alignments_beat_the_diagonal_clearly(jumok, reverser, reversals, tmp_path):
    gold = reversals / "test.align"
    said = jumok(
        "measure", reverser, reversals / "test.tsv", "--alignments", gold, "--out", tmp_path, "--method", "attention"
    )
    assert (said.status, said.err) == (0, "")
    assert (tmp_path / "faithfulness.png").is_file()
    report = json.loads((tmp_path / "measure.json").read_text())
    assert report["methods"]["attention"]["aer"]["value"] < 0.1
    assert report["baselines"]["diagonal"]["aer"]["value"] > 0.5
    assert "attention: better than the diagonal, its AER is lower by 0." in said.out
    assert "not significantly" not in said.out
    with Image.open(tmp_path / "measure.png") as picture:
        assert min(picture.size) > 200


def test_every_reading_is_measured_unless_some_are_named(jumok, transformer, reversals, tmp_path, monkeypatch):
    monkeypatch.setattr("jumok.app.translate.measure.PAIRS_AT_ONCE", 7)
    pairs, gold = reversals / "test.tsv", reversals / "test.align"
    words = ["measure", transformer, pairs, "--alignments", gold, "--out", tmp_path]
    assert jumok(*words).status == 0
    names = list(json.loads((tmp_path / "measure.json").read_text())["methods"])
    plain = ["mean", "layer 1", "layer 2"]
    assert names == [name for one in plain for name in (one, f"{one}, next step")]
    assert jumok(*words, "--method", "layer 2", "--method", "layer 2").status == 0
    assert list(json.loads((tmp_path / "measure.json").read_text())["methods"]) == ["layer 2"]


def test_a_run_is_measured_on_its_own_test_pairs_where_none_are_given(jumok, reverser, reversals, tmp_path):
    plan = ("--method", "attention", "--most", "4")
    for name, data in (("own", ()), ("given", (reversals,))):
        assert jumok("measure", reverser, *data, *plan, "--out", tmp_path / name).status == 0
    own, given = (json.loads((tmp_path / name / "measure.json").read_text()) for name in ("own", "given"))
    assert own["faithfulness"] == given["faithfulness"]
    assert own["data"] == [str(reversals / "test.tsv")]


def test_links_are_scored_where_sentences_are_too_short_for_faithfulness(jumok, reverser, tmp_path):
    (tmp_path / "words.tsv").write_text("a\ta\nb\tb\n")
    (tmp_path / "gold").write_text("0-0\n0-0\n")
    words = ("measure", reverser, tmp_path / "words.tsv", "--out", tmp_path / "out")
    said = jumok(*words, "--alignments", tmp_path / "gold")
    assert said.status == 0, said.err
    assert "remark: faithfulness: " in said.out
    report = json.loads((tmp_path / "out" / "measure.json").read_text())
    assert "attention" in report["methods"]
    assert not (tmp_path / "out" / "faithfulness.png").exists()
    alone = jumok(*words)
    assert (alone.status, alone.err.count("\n")) == (2, 1)


def test_links_that_seem_to_count_from_one_are_warned_of(jumok, reverser, reversals, tmp_path):
    lines = (reversals / "test.align").read_text().splitlines()
    links = [[tuple(map(int, link.split("-"))) for link in line.split()] for line in lines]
    inner = [[(s, t) for s, t in own if min(s, t) > 0] for own in links]
    gold = tmp_path / "gold"
    gold.write_text("".join(" ".join(f"{s}-{t}" for s, t in own) + "\n" for own in inner))
    words = ("measure", reverser, reversals / "test.tsv", "--alignments", gold, "--out", tmp_path)
    said = jumok(*words)
    warning = (
        f"warning: no link of {gold} touches a first word, so it seems to be counted from 1: then give --one-based"
    )
    assert (said.status, said.err) == (0, "")
    assert f"remark: {warning}" in said.out
    assert json.loads((tmp_path / "measure.json").read_text())["remarks"] == [warning]
    assert warning not in jumok(*words, "--one-based").out
    gold.write_text("\n".join(" ".join(f"{s + 1}-{t + 1}" for s, t in own) for own in links))
    said = jumok(*words)
    assert (said.status, said.err.count("\n")) == (2, 1)
    assert "line 1: the gold links source word" in said.err
    assert "then give --one-based" in said.err
    assert jumok(*words, "--one-based").status == 0


def test_links_of_pairs_that_are_skipped_are_skipped_too(jumok, reverser, reversals, tmp_path):
    pairs = (reversals / "test.tsv").read_text().splitlines()
    links = (reversals / "test.align").read_text().splitlines()
    (tmp_path / "t.tsv").write_text("\n".join([pairs[0], "only source\t", *pairs[1:]]))
    for name, more in (("gold", [""]), ("short", [])):
        (tmp_path / name).write_text("\n".join([links[0], *more, *links[1:], ""]))
    words = ("measure", reverser, "--no-faithful", "--out")
    whole = jumok(*words, tmp_path / "a", reversals / "test.tsv", "--alignments", reversals / "test.align")
    for name in ("gold", "short"):
        said = jumok(*words, tmp_path / "out" / name, tmp_path / "t.tsv", "--alignments", tmp_path / name)
        assert said.status == whole.status == 0, said.err


def test_measure_refuses_in_one_line(jumok, reverser, blind, trained, reversals, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pairs, gold = reversals / "test.tsv", reversals / "test.align"
    short, wrong, beyond, vague = (tmp_path / name for name in ("short", "wrong", "beyond", "vague"))
    lines = gold.read_text().splitlines(keepends=True)
    short.write_text("".join(lines[:-1]))
    wrong.write_text("".join(["0-0 nonsense\n", *lines[1:]]))
    beyond.write_text("".join(["0-99\n", *lines[1:]]))
    vague.write_text("".join(line.replace("-", "p") for line in lines))
    before = sorted(tmp_path.iterdir())
    for words, message in (
        ([reverser, pairs, "--no-faithful"], "without --alignments there is nothing to measure but faithfulness"),
        ([reverser, "--alignments", gold], "--alignments has a line for each pair: give their file too"),
        ([reverser, pairs, "--fillings", "blur"], "unknown filling 'blur'"),
        ([blind, pairs], "no attention to its source (score none)"),
        ([reverser, pairs, "--method", "atention"], "did you mean 'attention'"),
        ([reverser, pairs, "--alignments", gold, "--masks", gold], "no use for --masks"),
        ([reverser, pairs, "--alignments", short], "has links for 59 sentences, but there are 60 pairs"),
        ([reverser, pairs, "--alignments", wrong], "wrong, line 1: 'nonsense' is not a link"),
        ([reverser, pairs, "--alignments", beyond], "beyond, line 1"),
        ([reverser, pairs, "--alignments", vague], "no sure link"),
        ([reverser, pairs, "--alignments", gold, "--one-based"], "counts from 0"),
        ([reverser, pairs, "--alignments", "missing"], "no such file: missing"),
        ([reverser, pairs, "--alignments", gold, "--method", "atention"], "did you mean 'attention'"),
        ([reverser, pairs, "--alignments", gold, "--characters"], "leave out --characters"),
        ([reverser, pairs, "--alignments", gold, "--tolerance", 3], "no use for --tolerance"),
        ([reverser, pairs, "--alignments", gold, "--split", "val"], "no use for --split"),
        ([trained, pairs, "--masks", gold, "--one-based"], "no use for --one-based"),
        ([blind, pairs, "--alignments", gold], "no attention to its source (score none)"),
        ([trained, pairs, "--alignments", gold], "no use for --alignments"),
        (["nowhere", pairs, "--alignments", gold], "no run at nowhere"),
    ):
        said = jumok("measure", *words, "--out", "measure")
        assert said.status == 2, words
        assert message in said.err
        assert said.err.count("\n") == 1
        assert sorted(tmp_path.iterdir()) == before
