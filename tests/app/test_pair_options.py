from app_helpers import QUICK

from jumok.app.options import with_settings
from jumok.app.task_settings import left_out, settings_panels
from jumok.tasks import TASKS


def test_help_shows_the_options_of_one_kind_of_data_at_a_time(jumok, monkeypatch, reversals):
    monkeypatch.setenv("COLUMNS", "260")
    common = jumok("train", "--help").out
    assert all(f" --{name} " in common for name in ("epochs", "lr", "out", "system"))
    assert not any(f" --{name} " in common for name in ("flips", "batch-tokens", "vocabulary-size", "answers"))
    assert "jumok train images | pairs | questions | texts --help" in common
    images = jumok("train", "images", "--help").out
    assert " --flips " in images
    assert not any(f" --{name} " in images for name in ("batch-tokens", "vocabulary-size", "answers", "images"))
    assert "default as many as fit into --time)" in images
    pairs = jumok("train", "pairs", "--help").out
    assert pairs == jumok("train", reversals, "--help").out
    assert not any(f" --{name} " in pairs for name in ("flips", "images", "answers"))
    for words in (
        "default as many as fit into --time)",
        "default 0.05 and at most 2,000)",
        "< 2^63",
        "<= 1,000,000",
        "unigram | bpe | words | characters. (default by what the texts are like)",
    ):
        assert words in pairs
    assert "(training)" not in pairs
    questions = jumok("train", "questions", "--help").out
    assert all(f" --{name} " in questions for name in ("images", "answers", "vocabulary-size"))


def test_a_kind_of_data_can_be_named_before_it(jumok, reversals, coloured, tmp_path):
    said = jumok("train", "images", reversals, "--out", tmp_path / "run")
    assert (said.status, said.out) == (2, "")
    assert "wanted a folder for each class" in said.err
    said = jumok("train", "pairs", coloured, "--out", tmp_path / "run")
    assert said.status == 2
    assert not (tmp_path / "run").exists()


def test_a_folder_named_as_a_kind_of_data_is_a_folder(jumok, coloured, tmp_path, monkeypatch):
    (tmp_path / "images").symlink_to(coloured)
    monkeypatch.chdir(tmp_path)
    assert jumok("train", "images", "--out", "run", *QUICK, "--epochs", 1).status == 0


def test_a_setting_of_several_models_is_one_option_under_the_common_heading():
    def command(*, settings):
        return settings

    tasks = TASKS.values()
    wrapped = with_settings(settings_panels(tasks), left_out(tasks))(command)
    names = list(wrapped.__signature__.parameters)
    assert len(names) == len(set(names))
    given = dict.fromkeys(names) | {"seed": 3, "val_pairs": []}
    assert wrapped(**given) == {"seed": 3}
