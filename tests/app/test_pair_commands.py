import csv
import gzip
import json
import shutil

import pytest
import sacrebleu
import torch
import yaml
from forked import run_by_two
from pair_helpers import SMALL, TRANSFORMER, settings_of, untrained, write_reversed

from jumok.data.pairs.pair_set import read_pairs
from jumok.tasks.running.checkpoint import load_state
from jumok.tasks.translate.run import PairRun

TINY = [*SMALL, "--option", "layers=1", "--epochs", "1"]


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return write_reversed(tmp_path_factory.mktemp("few") / "pairs", train=80)


# -- train -------------------------------------------------------------------------------------


def test_an_lstm_that_this_processor_has_not_in_bf16_runs_in_float32_and_that_is_said(
    jumok, few, tmp_path, monkeypatch
):
    monkeypatch.setattr("jumok.mechanisms.recurrent.cells._trains", lambda kind, dtype: False)
    words = [*("cell=lstm" if word == "cell=gru" else word for word in TINY), "--precision", "bf16"]
    said = jumok("train", few, "--out", tmp_path / "run", *words)
    remark = "this processor has no LSTM of bf16: that part runs in float32"
    assert said.status == 0, said.err
    assert remark in said.out
    sentence = tmp_path / "sentence.txt"
    sentence.write_text("bo\n")
    assert remark in jumok("translate", tmp_path / "run", sentence).err
    assert jumok("translate", tmp_path / "run", sentence, "--precision", "32").err.count(remark) == 0


def test_a_run_folder_comes_out_and_says_what_it_is(reverser, reversals):
    assert {path.name for path in reverser.iterdir()} == {
        "card.md", "checkpoints", "config.yaml", "kernels.json", "logs", "metrics.csv", "source.vocabulary",
        "target.vocabulary", "trained_on.txt", "weights.safetensors",
    }  # fmt: skip
    card = (reverser / "card.md").read_text()
    rows = list(csv.DictReader((reverser / "metrics.csv").open()))
    best = max(rows, key=lambda row: (float(row["val_chrf"]), -float(row["val_loss"])))
    for words in (
        "# reverser",
        "A seq2seq of ",
        "weights that translates, from 16 to 16 entries (words).",
        f"| pairs | {reversals}: 1,500 train, 60 val, 60 test |",
        f"| validation chrF, mean over sentences | {float(best['val_chrf']):.2f}, greedy |",
        f"| validation, exact match | {float(best['val_exact']):.1%} |",
        f"| validation loss per token | {float(best['val_loss']):.4f} |",
        "% of what is computed is padding",
        f"averaged, of epoch {best['epoch']} of 8",
        "target tokens/s in training",
        "sentencepiece",
    ):
        assert words in card
    assert [int(row["epoch"]) for row in rows] == list(range(1, 9))
    assert float(rows[-1]["train_loss"]) < 0.3 * float(rows[0]["train_loss"])


def test_it_tells_what_it_found_and_how_it_went(jumok, few, tmp_path):
    said = jumok("train", few, "--out", tmp_path / "run", *TINY)
    assert (said.status, said.err) == (0, "")
    for words in (
        "source: 16 entries (words); 100.00% of the text known; 100.00% of the sentences come back unchanged",
        "padding: ",
        "80 training and 60 validation pairs; seq2seq with ",
        "epoch 1/1  val_loss ",
        "kept epoch 1 of 1: validation chrF ",
        "target tokens/s on cpu",
        f"next: jumok eval {tmp_path / 'run'}",
    ):
        assert words in said.out


def test_what_is_to_be_trained_follows_from_the_data(jumok, few, tmp_path):
    words = [word for word in TINY if word not in ("--system", "seq2seq")]
    rows = [line.split("\t") for line in (few / "train.tsv").read_text().splitlines()]
    for side, name in enumerate(("one", "two")):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress("\n".join(row[side] for row in rows).encode()))
    for number, data in enumerate([[few], [few / "train.tsv"], [tmp_path / "one.gz", tmp_path / "two.gz"]]):
        out = tmp_path / str(number)
        said = jumok("train", *data, "--out", out, *words)
        assert said.status == 0, said.err
        assert yaml.safe_load((out / "config.yaml").read_text())["task"] == "translate"
    configs = [yaml.safe_load((tmp_path / str(number) / "config.yaml").read_text())["found"] for number in (1, 2)]
    assert configs[0] == configs[1]


def test_the_same_file_twice_is_warned_of(jumok, few, tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("".join(line.split("\t")[0] + "\n" for line in (few / "train.tsv").read_text().splitlines()))
    said = jumok("train", lines, lines, "--out", tmp_path / "run", *TINY)
    assert said.status == 0
    assert f"warning: {lines} is given as source and as target" in said.out


def test_a_finished_run_resumes_to_the_same(jumok, few, tmp_path, monkeypatch):
    monkeypatch.chdir(few)
    assert jumok("train", "train.tsv", "--val-pairs", "val.tsv", "--out", tmp_path / "run", *TINY).status == 0
    before = {name: (tmp_path / "run" / name).read_bytes() for name in ("metrics.csv", "weights.safetensors")}
    monkeypatch.chdir(tmp_path)
    assert jumok("train", "--resume", "run").status == 0
    assert before == {name: (tmp_path / "run" / name).read_bytes() for name in before}


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (
            {"a": "x\ny\n", "b": "x\n"},
            ["a", "b"],
            "a has 2 lines and b has 1: line-aligned files must have the same number of lines",
        ),
        ({"a.tsv": b"x\ty\n\xff\ty\n"}, ["a.tsv"], "a.tsv, line 2: byte 0xff is not valid UTF-8"),
        ({"a.tsv": "x\ty\nno tab\n"}, ["a.tsv"], "a.tsv, line 2: no TAB; wanted source TAB target"),
        ({"a.tsv": "\t\n \n"}, ["a.tsv"], "no pair of sentences in a.tsv (2 lines with an empty side)"),
        ({"a.tsv": ""}, ["a.tsv"], "no pair of sentences in a.tsv"),
        ({"a.tsv": "x\ty\n" * 9}, ["a.tsv"], "no pair for"),
        ({}, ["missing.tsv"], "no such file: missing.tsv"),
        ({"a": "x\n"}, ["a", "missing"], "no such file: missing"),
        ({"a": "x\n"}, ["a", "a", "a"], "at most 2 files of pairs, got 3"),
        ({"a/train.de": "x\n", "a/train.en": "y\n", "a/train.fr": "z\n"}, ["a"], "train files ending in de, en, fr"),
        ({}, ["{few}", "--longest", "1"], "none of the 80 train pairs has at most 1 tokens a side: raise --longest"),
        ({}, ["{few}", "--vocabulary", "letters"], "--vocabulary is 'letters'"),
        ({}, ["{few}", "--vocabulary", "unigram", "--vocabulary-size", "8"], "a vocabulary of 8 has no room"),
        ({}, ["{few}", "--flips", "none"], "seq2seq has no use for --flips: it is trained on pairs"),
        ({}, ["{few}", "{few}", "{few}"], "seq2seq is trained on at most 2 files of pairs, got 3"),
        ({}, ["{few}", "--batch-size", "8"], "seq2seq has no use for --batch-size"),
        ({}, ["{few}", "--option", "hiden=3"], "no option 'hiden'"),
        ({}, ["{few}", "--option", "source_vocabulary=3"], "follows from the data"),
        ({}, ["{few}", "--system", "transformer", "--sampling", "0.5"], "leave out --teacher-forcing and --sampling"),
        ({}, ["{few}", "--system", "transformer", "--teacher-forcing", "0.5"], "or use seq2seq"),
        ({}, ["{few}", "--teacher-forcing", "2"], "--teacher-forcing is 2; wanted >= 0, <= 1"),
        ({}, ["{few}", "--val-fraction", "0.5", "--test-fraction", "0.5"], "leave nothing to train on"),
        ({}, ["{few}", "--languages", "de"], "languages are two endings, source first, got 'de' alone"),
        ({}, ["{images}", "--batch-tokens", "99"], "senet has no use for --batch-tokens: it is trained on images"),
        ({}, ["--system", "seq2seq"], "no pairs: give a TSV or two line-aligned files"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    jumok, few, coloured, tmp_path, monkeypatch, content, words, message
):
    monkeypatch.chdir(tmp_path)
    for name, text in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    before = sorted(tmp_path.rglob("*"))
    words = [word.format(few=few, images=coloured) for word in words]
    said = jumok("train", *words, "--out", "run", "--device", "cpu")
    assert said.status == 2, said.out
    assert message in said.err
    assert said.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_resuming_with_other_pairs_is_refused(jumok, few, tmp_path):
    data = shutil.copytree(few, tmp_path / "data")
    assert jumok("train", data, "--out", tmp_path / "run", *TINY).status == 0
    text = (data / "val.tsv").read_text()
    (data / "val.tsv").write_text(text.split("\n", 1)[1])
    said = jumok("train", "--resume", tmp_path / "run")
    assert said.status == 2
    assert "are not those that this run began with" in said.err
    assert "60 val" in said.err
    assert "59 val" in said.err


@pytest.mark.slow
@pytest.mark.parametrize("system", [SMALL, TRANSFORMER], ids=["seq2seq", "transformer"])
def test_two_processes_train_as_one_does(jumok, few, tmp_path, system):
    more = [*system, "--epochs", "1", "--validate-with", "20"]  # later, a batch of one pair is cut otherwise for two
    run_by_two(["train", few, "--out", tmp_path / "two", *more], tmp_path / "log")
    assert jumok("train", few, "--out", tmp_path / "one", *more).status == 0
    states = [load_state(tmp_path / name / "checkpoints" / "last.safetensors") for name in ("one", "two")]
    for name, value in states[0]["state_dict"].items():
        if not name.endswith("qkv.bias"):  # the keys' part changes nothing: its gradient is noise that Adam blows up
            torch.testing.assert_close(states[1]["state_dict"][name], value, rtol=1e-3, atol=1e-4)
    rows = [list(csv.DictReader((tmp_path / name / "metrics.csv").open())) for name in ("one", "two")]
    for one, two in zip(*rows, strict=True):
        for name, value in one.items():
            assert float(two[name]) == pytest.approx(float(value), rel=1e-3, abs=1e-6), name


# -- eval --------------------------------------------------------------------------------------


def test_eval_prints_and_writes_figures_and_translations(jumok, reverser, reversals, tmp_path):
    said = jumok("eval", reverser, "--out", tmp_path / "eval", "--beam", 3)
    assert (said.status, said.err) == (0, "")
    report = json.loads((tmp_path / "eval" / "eval.json").read_text())
    pairs = read_pairs([reversals / "test.tsv"])
    found = [best.text for best in PairRun.load(reverser).translate(pairs.sources, beam=3)]
    assert report["bleu"] == pytest.approx(sacrebleu.corpus_bleu(found, [pairs.targets]).score)
    assert report["chrf"] == pytest.approx(sacrebleu.corpus_chrf(found, [pairs.targets]).score)
    assert (report["split"], report["sentences"], report["beam"]) == ("test", 60, 3)
    assert report["data"] == [str(reversals / "test.tsv")]
    assert report["exact"] >= 0.9
    assert report["chrf_95"][0] <= report["chrf"] <= report["chrf_95"][1]
    for words in (
        "60 pairs (test), beam 3, length penalty 1, ",
        f"BLEU {report['bleu']:.2f} (95% interval ",
        report["bleu_signature"],
        f"chrF {report['chrf']:.2f} (95% interval ",
        report["chrf_signature"],
        f"exact match {report['exact']:.1%}",
        "among the best:",
    ):
        assert words in said.out
    assert ("among the worst:" in said.out) == (report["exact"] < 1), "what is right is not among the worst"
    rows = list(csv.reader((tmp_path / "eval" / "translations.tsv").open(), delimiter="\t"))
    assert rows[0] == ["source", "reference", "translation", "chrf"]
    assert [tuple(row[:3]) for row in rows[1:]] == list(zip(pairs.sources, pairs.targets, found, strict=True))


@pytest.mark.parametrize(
    ("words", "part", "count"),
    [
        (["{data}/val.tsv"], "all", 60),
        (["{data}/val.tsv", "--split", "all"], "all", 60),
        (["{data}"], "test", 60),
        (["{data}", "--split", "val"], "val", 60),
        (["--split", "val"], "val", 60),
        (["{few}", "--split", "train"], "train", 80),
        (["{few}/train.tsv"], "all", 80),
    ],
)
def test_which_pairs_are_judged(jumok, reverser, reversals, few, tmp_path, words, part, count):
    words = [word.format(data=reversals, few=few) for word in words]
    assert jumok("eval", reverser, *words, "--out", tmp_path / "eval", "--beam", 1).status == 0
    report = json.loads((tmp_path / "eval" / "eval.json").read_text())
    assert (report["split"], report["sentences"]) == (part, count)


def test_the_file_that_a_run_was_trained_on_is_not_judged_whole(jumok, few, tmp_path):
    run = untrained(tmp_path / "run", settings_of(few / "train.tsv", val_fraction=0.1, test_fraction=0.2))
    said = jumok("eval", tmp_path / "run", few / "train.tsv", "--beam", 1)
    assert said.status == 0
    report = json.loads((tmp_path / "run" / "eval" / "eval.json").read_text())
    assert (report["split"], report["sentences"]) == ("test", run.config.found.counts["test"]) == ("test", 16)


def test_eval_stands_beside_what_needs_no_learning(jumok, reverser, reversals, tmp_path):
    said = jumok("eval", reverser, "--out", tmp_path / "eval")
    report = json.loads((tmp_path / "eval" / "eval.json").read_text())
    found = {each["baseline"]: each for each in report["baselines"]}
    assert list(found) == ["copying the source", "the commonest target", "the target of the nearest source"]
    pairs = read_pairs([reversals / "test.tsv"])
    copied = sacrebleu.corpus_chrf(pairs.sources, [pairs.targets]).score
    assert found["copying the source"]["chrf"] == pytest.approx(copied)
    assert found["copying the source"]["better_by"]["chrf"]["value"] == pytest.approx(report["chrf"] - copied)
    assert all(each["beaten"] and each["better_by"]["chrf"]["low"] > 0 for each in found.values())
    assert report["learnt"].startswith("the model is significantly better than copying the source, the commonest ")
    assert report["learnt"] in said.out
    assert f"  copying the source: BLEU {found['copying the source']['bleu']:.2f}, chrF {copied:.2f}" in said.out


def test_eval_says_that_nothing_was_learnt(jumok, few, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    untrained(tmp_path / "run", settings_of(few))
    said = jumok("eval", "run")
    assert said.status == 0
    wanted = "the model is not significantly better than copying the source, the commonest target and the target of "
    assert f"{wanted}the nearest source: it has learnt nothing that these do not give" in said.out


def test_eval_without_the_training_pairs_says_what_is_left_out(jumok, reversals, tmp_path):
    data = shutil.copytree(reversals, tmp_path / "data")
    untrained(tmp_path / "run", settings_of(data))
    (data / "train.tsv").unlink()
    said = jumok("eval", tmp_path / "run", data / "test.tsv")
    assert said.status == 0
    assert "remark: baselines that need the training pairs are left out: the training pairs cannot be read" in said.out
    report = json.loads((tmp_path / "run" / "eval" / "eval.json").read_text())
    assert [each["baseline"] for each in report["baselines"]] == ["copying the source"]


def test_eval_counts_pairs_with_an_empty_side(jumok, reverser, tmp_path):
    (tmp_path / "t.tsv").write_text("a b\tb a\n\tonly target\nonly source\t\n\nb a\ta b\n")
    said = jumok("eval", reverser, tmp_path / "t.tsv", "--out", tmp_path)
    assert said.status == 0
    assert "2 pairs (all)" in said.out
    assert "remark: 3 pairs skipped: one side is empty (lines 2, 3, 4)" in said.out
    report = json.loads((tmp_path / "eval.json").read_text())
    assert (report["skipped"], report["skipped_lines"]) == ({"empty": 3}, [2, 3, 4])
    assert report["remarks"] == ["3 pairs skipped: one side is empty (lines 2, 3, 4)"]


def test_headings_among_the_pairs_are_remarked_on(jumok, reverser, few, tmp_path):
    told = f"{tmp_path / 'p.tsv'}, line 1: 'source' and 'target' are taken for a pair of sentences and look like"
    (tmp_path / "p.tsv").write_text("source\ttarget\n" + "".join(f"ba b{n}\tb{n} ba\n" for n in range(60)))
    assert told in jumok("train", tmp_path / "p.tsv", "--dry-run", "--device", "cpu").out
    said = jumok("eval", reverser, tmp_path / "p.tsv", "--out", tmp_path / "e")
    assert (said.status, f"remark: {told}" in said.out) == (0, True)


def test_eval_of_translations_that_share_nothing_with_their_references(jumok, reverser, tmp_path):
    for rows in (["a b\tЖЖЖ"], ["a b\tЖЖЖ", "b a\tЩЩ", "c a b\tЪ"]):
        (tmp_path / "t.tsv").write_text("\n".join(rows))
        said = jumok("eval", reverser, tmp_path / "t.tsv", "--out", tmp_path)
        assert (said.status, said.err) == (0, "")
        report = json.loads((tmp_path / "eval.json").read_text())
        for figure in ("bleu", "chrf", "exact"):
            low, high = report[f"{figure}_95"]
            assert 0 == report[figure] == low <= high


def test_eval_says_which_pairs_training_has_too(jumok, reverser, reversals, tmp_path):
    lines = (reversals / "train.tsv").read_text().splitlines()[:3] + (reversals / "val.tsv").read_text().splitlines()[
        :4
    ]
    (tmp_path / "t.tsv").write_text("\n".join(lines))
    said = jumok("eval", reverser, tmp_path / "t.tsv", "--out", tmp_path)
    assert "remark: 3 of 7 pairs have a source or target sentence that training has too" in said.out
    assert "training has too" not in jumok("eval", reverser, "--split", "train", "--out", tmp_path).out


def test_a_part_that_was_split_off_is_no_overlap(jumok, reversals, tmp_path):
    untrained(tmp_path / "run", settings_of(reversals / "train.tsv"))
    assert "remark" not in jumok("eval", tmp_path / "run", "--out", tmp_path / "eval").out


def test_eval_splits_text_without_spaces_or_as_it_is_told(jumok, reverser, tmp_path):
    (tmp_path / "t.tsv").write_text("a b\t今天天气很好\nb a\t他昨天买了一本新书\n")
    for flags, split in (([], "zh"), (["--tokenize", "char"], "char")):
        assert jumok("eval", reverser, tmp_path / "t.tsv", "--out", tmp_path, *flags).status == 0
        assert f"tok:{split}" in json.loads((tmp_path / "eval.json").read_text())["bleu_signature"]


def test_eval_refuses_in_one_line(jumok, reverser, trained, coloured, few, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    untrained(tmp_path / "no-test", settings_of(few / "train.tsv", test_fraction=0.0))
    for words, message in (
        ([reverser, "--split", "all"], "--split all is not offered here"),
        ([reverser, few / "train.tsv", "--split", "val"], "are evaluated whole: leave out --split"),
        ([reverser, "missing.tsv"], "no such file: missing.tsv"),
        ([reverser, "--batch-size", 3], "no use for --batch-size"),
        ([reverser, "--length-penalty", -1], "length_penalty is 0 to 10"),
        ([reverser, "--tokenize", "words"], "tokenize is 'words'"),
        ([trained, coloured, "--beam", 3], "no use for --beam"),
        ([trained, "a", "b"], "is an image classifier: give the folder of test images"),
        (["no-test"], "there are no test pairs"),
    ):
        said = jumok("eval", *words, "--out", "eval")
        assert said.status == 2
        assert message in said.err
        assert said.err.count("\n") == 1
        assert not (tmp_path / "eval").exists()


# -- sample ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dates", "reversal", "substitution"])
def test_samples_are_written_and_can_be_trained_on(jumok, tmp_path, kind):
    said = jumok("sample", kind, tmp_path / kind, "--train", 60, "--val", 10, "--test", 10, "--seed", 3)
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(f"80 pairs in {tmp_path / kind}, their alignments beside them\nnext: jumok train ")
    again = said.out.split("next: jumok ")[1].split()
    words = [word for word in again if word not in ("--out", again[-1])]
    wish = ["--epochs", 1, "--device", "cpu", "--threads", 1, "--option", "hidden=8", "--option", "embedding=4"]
    assert jumok(*words, "--out", tmp_path / "run", *wish).status == 0
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["found"]["counts"] == {"train": 60, "val": 10, "test": 10}
    said = jumok("sample", kind, tmp_path / kind, "--train", -1)
    assert said.status == 2
    assert said.err.count("\n") == 1
