"""`jumok train OTHER --init RUN` for sentence pairs and questions; for images see test_pretrained_commands.py."""

import csv
import shutil

import pytest
import yaml
from pair_helpers import SMALL, write_reversed
from question_helpers import write_squares

from jumok.app.cli import main
from jumok.tasks.running.checkpoint import read_tensors
from jumok.tasks.running.trained_on import TRAINED_ON, read_trained_on

QUESTIONS = ["--device", "cpu", "--threads", "1", "--epochs", "1", "--batch-size", "16", "--lr", "0.003"]
TINY = ["--system", "vqa-concat", "--option", "width=16", "--option", "heads=2", "--option", "patch=4"]


def read(folder):
    return yaml.safe_load((folder / "config.yaml").read_text())


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_translator_goes_on_with_other_pairs_in_the_words_it_knows(jumok, reverser, tmp_path):
    pairs = write_reversed(tmp_path / "pairs", train=300, longest=6)
    quick = ["--device", "cpu", "--threads", "1", "--epochs", "1", "--lr", "0.001", "--batch-tokens", "300"]
    said = jumok("train", pairs, "--init", reverser, "--out", tmp_path / "run", *quick)
    assert said.status == 0, said.err
    assert f"tensors from {reverser}" in said.out
    assert "new:" not in said.out
    now, before = read(tmp_path / "run"), read(reverser)
    assert now["options"] == before["options"]
    assert now["found"]["target"]["fingerprint"] == before["found"]["target"]["fingerprint"]
    fresh = jumok("train", pairs, "--out", tmp_path / "fresh", *SMALL, "--epochs", "1")
    assert fresh.status == 0, fresh.err
    chrf = [float(rows(tmp_path / name)[0]["val_chrf"]) for name in ("run", "fresh")]
    assert chrf[0] > chrf[1] + 10
    again = jumok("train", "--resume", tmp_path / "run", "--epochs", "2")
    assert again.status == 0, again.err
    assert len(rows(tmp_path / "run")) == 2


def swap_train_and_test(folder):
    """What was trained on is held out now, and the other way round."""
    for end in {path.name.partition(".")[2] for path in folder.glob("train.*")}:
        train, test = folder / f"train.{end}", folder / f"test.{end}"
        texts = train.read_text(), test.read_text()
        train.write_text(texts[1])
        test.write_text(texts[0])
    return folder


def test_held_out_pairs_that_the_first_run_was_trained_on_are_told(jumok, reverser, reversals, tmp_path):
    pairs = swap_train_and_test(shutil.copytree(reversals, tmp_path / "pairs"))
    words = ["--init", reverser, "--out", tmp_path / "run", "--epochs", "1", "--lr", "0.001", "--device", "cpu"]
    said = jumok("train", pairs, *words, "--threads", "1", "--no-trust")
    assert said.status == 0, said.err
    record = read_trained_on(reverser)
    count = len(record.hashes["train"])
    told = f"were trained on {count:,} of {count:,} test pairs: figures on them flatter"
    assert told in said.out
    assert set(read_trained_on(tmp_path / "run").before) == record.learnt
    judged = jumok("eval", tmp_path / "run", "--out", tmp_path / "eval", "--beam", "1")
    assert f"{count:,} of {count:,} pairs are among those that the run was trained or validated on" in judged.out
    (reverser / TRAINED_ON).rename(tmp_path / "kept")
    try:
        words[words.index("--out") + 1] = tmp_path / "other"
        unknown = jumok("train", pairs, *words, "--threads", "1", "--dry-run")
    finally:
        (tmp_path / "kept").rename(reverser / TRAINED_ON)
    assert f"{reverser} keeps no record of what it was trained on: whether held-out pairs" in unknown.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--vocabulary", "characters"], "brings its vocabularies along: leave out --vocabulary"),
        (["--system", "transformer"], "is a seq2seq, and --system asks for transformer: leave --system out"),
        (["--option", "hidden=64"], "of the weights of such a network"),
    ],
)
def test_what_does_not_fit_the_translator_to_begin_with_is_said(jumok, reverser, reversals, tmp_path, words, message):
    said = jumok("train", reversals, "--init", reverser, "--out", tmp_path / "run", *words)
    assert said.status == 2
    assert message in said.err
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A run that answers questions, and a folder of its data."""
    place = tmp_path_factory.mktemp("asked")
    data = write_squares(place / "squares")
    words = ["train", data, "--images", data / "images", "--out", place / "run", *TINY, *QUESTIONS]
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert stopped.value.code == 0
    return place


def test_held_out_questions_that_the_first_run_was_trained_on_are_told(jumok, asked, tmp_path):
    data = swap_train_and_test(shutil.copytree(asked / "squares", tmp_path / "squares"))
    words = ["--images", data / "images", "--init", asked / "run", "--out", tmp_path / "run", *QUESTIONS]
    said = jumok("train", data, *words, "--no-trust")
    assert said.status == 0, said.err
    record = read_trained_on(asked / "run")
    count = len(record.hashes["train"])
    assert f"were trained on {count:,} of {count:,} test questions: figures on them flatter" in said.out
    judged = jumok("eval", tmp_path / "run", "--out", tmp_path / "eval")
    assert f"{count:,} of {count:,} questions are among those that the run was trained or validated on" in judged.out


@pytest.mark.parametrize("same", [True, False])
def test_an_answerer_goes_on_with_other_questions_and_gets_new_weights_for_new_answers(jumok, asked, tmp_path, same):
    data = write_squares(tmp_path / "squares")
    if not same:
        for path in data.glob("*.csv"):
            path.write_text(path.read_text().replace("red", "rot"))
    said = jumok(
        "train", data, "--images", data / "images", "--init", asked / "run", "--out", tmp_path / "run", *QUESTIONS
    )
    assert said.status == 0, said.err
    assert f"tensors from {asked / 'run'}" in said.out
    assert ("new: head.out.weight, head.out.bias" in said.out) != same
    now, before = read(tmp_path / "run"), read(asked / "run")
    assert now["system"] == "vqa-concat"
    assert now["found"]["vocabulary"] == before["found"]["vocabulary"]
    assert now["found"]["mean"] == before["found"]["mean"]
    first = read_tensors(asked / "run" / "weights.safetensors")[1]
    kept = read_tensors(tmp_path / "run" / "initial.safetensors")[1]
    assert all((value == first[name]).all() for name, value in kept.items())
    assert jumok("train", "--resume", tmp_path / "run").status == 0
