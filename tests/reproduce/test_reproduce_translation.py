"""The tables of translation quality: what they read from runs, and the pairs that they put together."""

import json

import pytest

from jumok.errors import JumokError
from reproduce import korean_english, multi30k, trained_runs, translators
from reproduce.translators import Recipe


def finished_run(folder):
    (folder / "eval").mkdir(parents=True)
    (folder / "card.md").write_text("| wall time | 1 h 2 min on cpu, CPU threads: 1 |\n")
    (folder / "metrics.csv").write_text("epoch,step,lr\n1,10,0.1\n2,20,0.1\n")
    rows = ["source\treference\ttranslation\tchrf", "a\tb\tb\t100.0", "c\td\tx\t3.5", "e\tf\tfg\t50.0"]
    (folder / "eval" / "translations.tsv").write_text("\n".join([*rows, ""]))
    return folder


def test_rows_of_a_finished_run_come_from_its_files(tmp_path, monkeypatch):
    folder, called = finished_run(tmp_path / "run"), []

    def run(words):
        called.append(words)
        figures = {"bleu": 33.456, "chrf": 55.5, "bleu_signature": "b", "chrf_signature": "c", "sentences": 3}
        (folder / "eval" / "eval.json").write_text(json.dumps(figures))

    monkeypatch.setattr(translators, "run", run)
    recipe = Recipe("lstm", "--epochs 2", goals=(("BLEU", ">= 33"),), published=(("BLEU", 33.5),), source="who")
    bleu, chrf = translators.rows("test", recipe, [tmp_path], folder, threads=1, seed=0)
    assert called == [["eval", str(folder), "--beam", "5", "--threads", "1"]]
    assert (bleu.ours, bleu.met, bleu.published, bleu.source) == (33.46, True, 33.5, "who")
    assert (chrf.ours, chrf.met, chrf.published) == (55.5, None, None)
    assert (bleu.steps, bleu.seconds) == (20, 3720)
    assert "3 test pairs" in bleu.setup


def test_a_run_that_was_stopped_goes_on(tmp_path, monkeypatch):
    called = []

    class StopHereError(Exception):
        pass

    def run(words):
        called.append(words)
        raise StopHereError

    monkeypatch.setattr(trained_runs, "run", run)
    for begun in (False, True):
        if begun:
            (tmp_path / "config.yaml").write_text("")
        with pytest.raises(StopHereError):
            translators.rows("test", Recipe("lstm", "--epochs 2"), [tmp_path / "data"], tmp_path, threads=2, seed=7)
    assert called[0][:4] == ["train", str(tmp_path / "data"), "--epochs", "2"]
    assert called[0][-4:] == ["--seed", "7", "--threads", "2"]
    assert called[1] == ["train", "--resume", str(tmp_path), "--threads", "2"]


def test_examples_are_the_best_and_the_worst(tmp_path):
    found = translators.examples(finished_run(tmp_path / "run"), count=1)
    assert found["best"][0]["translation"] == "b"
    assert found["worst"][0]["chrf"] == "3.5"


def test_all_korean_pairs_are_put_together_once(tmp_path):
    (tmp_path / "tatoeba-en-ko.tsv").write_text("Go.\t가.\tby someone\nHi.\t안녕.\tby someone\n", "utf-8")
    for name in korean_english.FILES:
        (tmp_path / f"{name}.en").write_text("Go.\nWait.\n")
        (tmp_path / f"{name}.ko").write_text("가.\n기다려.\n", "utf-8")
    assert korean_english.together(tmp_path) == "Go.\t가.\nHi.\t안녕.\nWait.\t기다려.\n"
    with pytest.raises(JumokError, match="no folder"):
        korean_english.together(tmp_path / "nowhere")


@pytest.mark.parametrize("table", [multi30k, korean_english])
def test_flags_of_the_recipes_are_ones_that_train_knows(table):
    from jumok.app.commands.train import parse_options
    from jumok.tasks.running.run import configure_system
    from jumok.tasks.translate.settings import PairData, PairTraining

    known = {f"--{name.replace('_', '-')}" for model in (PairData, PairTraining) for name in model.model_fields}
    for recipe in table.RECIPES.values():
        words = recipe.train.split()
        assert {word for word in words if word.startswith("--")} <= known | {"--system", "--option"}
        options = parse_options([words[at + 1] for at, word in enumerate(words) if word == "--option"])
        sizes = {"source_vocabulary": 9, "target_vocabulary": 9}
        configure_system(words[words.index("--system") + 1], {**sizes, **options})
