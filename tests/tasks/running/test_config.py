import warnings
from pathlib import Path

import pytest

from jumok.errors import JumokError
from jumok.tasks.classify.settings import Found, ImageData, ImageTraining, RunConfig, Settings
from jumok.tasks.running.config import parse, read_yaml

FOUND = Found(classes=("a", "b"), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), counts={"train": 3}, fingerprint="f")


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_flags_win_over_the_file_and_the_file_over_the_defaults(tmp_path):
    path = write(tmp_path, "system: vit-small\ntraining: {epochs: 7, lr: 0.01}\noptions: {pool: mean, patch: 4}\n")
    settings = Settings.read(path, {"training": {"epochs": 9}, "options": {"patch": 8}})
    assert (settings.system, settings.training.epochs, settings.training.lr) == ("vit-small", 9, 0.01)
    assert settings.options == {"pool": "mean", "patch": 8}
    assert settings.training.batch_size == ImageTraining().batch_size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {epoch: 3}", r"unknown key 'training.epoch': did you mean 'epochs'\?"),
        ("epochs: 3", "unknown key 'epochs': it belongs under 'training'"),
        ("data: {lr: 3}", "unknown key 'data.lr': it belongs under 'training'"),
        ("sistem: vit-tiny", r"did you mean 'system'\?"),
        ("training: {label_smoothing: 1.5}", "training.label_smoothing is 1.5; wanted >= 0, < 1"),
        ("training: {lr: .nan}", "training.lr is nan; wanted a number"),
        ("training: {epochs: many}", r"training.epochs is 'many'; wanted a whole number \(>= 1\)"),
        ("training: {flips: up}", "'none', 'horizontal', 'both' or 'all'"),
        ("training: {device: tpu}", "training.device is 'tpu'; wanted auto, cpu, cuda, cuda:N or mps"),
        ("data: {image_size: 64x}", "HEIGHTxWIDTH"),
        ("data: {image_size: 100000}", "from 1 to 4096 pixels"),
        ("data: {image_size: [0, 4]}", "from 1 to 4096 pixels"),
        ("training: 3", "training is 3; wanted keys and values"),
        ("- a\n- b", "should hold keys and values"),
        ("a: [", "is not YAML"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
        ("3: 4", "should hold keys and values"),
        ("[" * 5000, "is not YAML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, message):
    with pytest.raises(JumokError, match=message) as caught:
        Settings.read(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_missing_large_and_binary_files_are_refused(tmp_path):
    with pytest.raises(JumokError, match="no configuration at"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(JumokError, match="cannot read"):
        read_yaml(tmp_path)
    (tmp_path / "large.yaml").write_bytes(b" " * (5 << 20))
    with pytest.raises(JumokError, match="larger than 4 MiB"):
        read_yaml(tmp_path / "large.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(JumokError, match="cannot read"):
        read_yaml(tmp_path / "binary.yaml")
    assert read_yaml(write(tmp_path, "")) == {}


@pytest.mark.parametrize(
    ("given", "size"), [(64, 64), ("64", 64), ("64x96", (64, 96)), ([64, 96], (64, 96)), (None, None)]
)
def test_image_sizes_are_read_in_every_form(given, size):
    assert parse(ImageData, {"image_size": given}, "here").image_size == size


def run_config(**changes) -> RunConfig:
    return RunConfig(**{"jumok": "0.1.0", "found": FOUND, "data": ImageData(images="/x", image_size=64), **changes})


def test_a_run_config_comes_back_from_its_own_text(tmp_path):
    config = run_config(data=ImageData(images="/사진", image_size=(32, 48)), options={"patch": 4})
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert RunConfig.load(tmp_path / "config.yaml") == config
    assert config.size == (32, 48)
    assert run_config().size == (64, 64)


def test_a_change_that_can_be_read_is_told(tmp_path):
    path, text = tmp_path / "config.yaml", run_config().to_yaml()
    changed, unsealed = text.replace("  - b\n", "  - c\n"), "\n".join(text.splitlines()[:-1])
    for given in (text, unsealed, text.replace("\n", "\r\n")):
        path.write_bytes(given.encode())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert RunConfig.load(path) == run_config()
    path.write_text(changed)
    with pytest.warns(UserWarning, match="was changed after it was written, so what this model says may not be"):
        assert RunConfig.load(path).found.classes == ("a", "c")


def test_an_earlier_runs_config_serves_as_settings(tmp_path):
    config = run_config(training=ImageTraining(epochs=5))
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    settings = Settings.read(tmp_path / "config.yaml", {"training": {"seed": 3}})
    assert settings.training == ImageTraining(epochs=5, seed=3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format: 1", "format: 2", r"run format 2 \(made by jumok 0.1.0\), wanted 1"),
        ("format: 1", "form: 1", "config.yaml is damaged: it does not say 'format'"),
        ("task: classify", "", "config.yaml is damaged: it does not say 'task'"),
        ("  - b\n", "  - a\n", "it should not have 'a' twice"),
        ("jumok: 0.1.0", "jumok: 0.1.0\nwhat: 3", "unknown key 'what'"),
        ("  - b\n", "", "found.classes"),
        ("found:", "lost:", "unknown key 'lost'|found is missing"),
        ("  std:\n  - 0.", "  std:\n  - -0.", r"found\.std is -0\.\d+; wanted > 0"),
    ],
)
def test_a_changed_run_config_is_refused(tmp_path, old, new, message):
    text = run_config().to_yaml()
    assert old in text
    (tmp_path / "config.yaml").write_text(text.replace(old, new))
    with pytest.raises(JumokError, match=message):
        RunConfig.load(tmp_path / "config.yaml")


def test_a_run_without_a_size_says_so():
    with pytest.raises(JumokError, match="image_size"):
        _ = run_config(data=ImageData(images="/x")).size
