"""`jumok train OTHER --init RUN` for sentence pairs and questions; for images see test_pretrained_commands.py."""

import csv

import pytest
import yaml
from pair_helpers import SMALL, write_reversed
from question_helpers import write_squares

from jumok.app.cli import main
from jumok.tasks.running.checkpoint import read_tensors

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
