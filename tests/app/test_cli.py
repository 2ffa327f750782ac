import contextlib
import importlib
import os
import re
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pytest
from app_helpers import start
from PIL import Image

import jumok as package
from jumok.app import cli
from jumok.errors import Interrupted, JumokError
from jumok.extras import install_extra

COMMANDS = ("train", "look", "measure", "eval", "sample")
BROKEN = "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.1\n"


@pytest.mark.parametrize("code", ["import jumok", "from jumok.app import cli; cli.build(None)"])
def test_neither_import_nor_help_needs_the_heavy_libraries(code):
    heavy = "torch", "numpy", "pytorch_lightning", "matplotlib", "PIL", "kornia", "sklearn", "transformers"
    check = f"{code}; import sys; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", check], text=True).strip() == "[]"


def test_training_imports_nothing_that_only_metrics_of_others_need(tmp_path):
    broken = {"torchvision/__init__.py": "raise RuntimeError", "torchvision-0.1.dist-info/METADATA": BROKEN}
    for name, text in broken.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    code = (
        "from jumok.app.lean_imports import import_training_loop as load; load(); import jumok.tasks.running.fit, sys"
    )
    heavy = "scipy.signal", "matplotlib", "transformers", "tensorboard"
    check = f"{code}; print([name for name in {heavy} if name in sys.modules])"
    path = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])}
    assert subprocess.check_output([sys.executable, "-c", check], text=True, env=path).strip() == "[]"


def test_in_a_process_of_ones_own_nothing_is_hidden():
    pytest.importorskip("transformers")
    code = "import jumok.app.lean_imports, jumok.tasks.running.fit, torchmetrics.utilities.imports as has"
    check = f"{code}; print(bool(has._TRANSFORMERS_GREATER_EQUAL_4_4))"
    assert subprocess.check_output([sys.executable, "-c", check], text=True).strip() == "True"


def test_help_lists_the_commands_and_each_has_help(jumok):
    said = jumok("--help")
    assert said.status == 0
    assert all(f" {name} " in said.out for name in COMMANDS)
    for name in COMMANDS:
        said = jumok(name, "--help")
        assert said.status == 0
        assert "Usage: jumok" in said.out


def test_every_command_that_is_listed_is_there():
    for name in cli.COMMANDS:
        built = cli.build(name)
        assert built is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'? (see jumok --help)"),
        (["train", "--epoch", "3"], "No such option: --epoch (Possible options: --epochs) (see jumok train --help)"),
        (["train", "--sytem", "cnn"], "No such option: --sytem (Possible options: --system) (see jumok train --help)"),
        (["train", "x", "--epochs", "many"], "Invalid value for '--epochs'"),
        (["eval"], "Missing argument"),
        (["demo", "foo"], "Invalid value for 'tour': 'foo' is not one of 'images', "),
        (["sample", "inspection"], "Missing argument"),
    ],
)
def test_usage_errors_are_one_line_and_status_2(jumok, words, message):
    said = jumok(*words)
    assert said.status == 2
    assert said.err.startswith("jumok: ")
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_no_command_shows_the_help(jumok):
    said = jumok()
    assert said.status == 2
    assert "train" in said.out + said.err


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (JumokError("a\nb"), 2, "jumok: a b\n"),
        (Interrupted(2, "stopped"), 130, "jumok: stopped\n"),
        (Interrupted(15, "stopped"), 143, "jumok: stopped\n"),
        (KeyboardInterrupt(), 130, ""),
        (ModuleNotFoundError("x", name="transformers.models"), 2, install_extra("hf")),
        (ModuleNotFoundError("x", name="peft"), 2, install_extra("lora")),
        (ModuleNotFoundError("x", name="timm"), 2, install_extra("timm")),
    ],
)
def test_errors_become_one_line_and_a_status(jumok, monkeypatch, error, status, message):
    def fail(**_):
        raise error

    monkeypatch.setattr("jumok.data.samples.image_folder.write_inspection", lambda *_, **__: fail())
    said = jumok("sample", "inspection", "nowhere")
    assert said.status == status
    assert message in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("name", ["loop", "x" * 5000])
def test_a_link_to_itself_and_a_name_too_long_are_one_short_line(jumok, tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    said = jumok("saliency", tmp_path / "a.png", "--out", tmp_path / name, "--no-html", "--no-pictures")
    assert said.status == 2
    assert said.err.count("\n") == 1
    assert len(said.err) < 300
    assert "fault in jumok" not in said.err


def test_what_is_a_mistake_of_ours_is_not_hidden(monkeypatch, jumok):
    def fail(*_, **__):
        raise ModuleNotFoundError("x", name="jumok.gone")

    monkeypatch.setattr("jumok.data.samples.image_folder.write_inspection", fail)
    with pytest.raises(ModuleNotFoundError):
        cli.run(["sample", "inspection", "nowhere"])
    said = jumok("sample", "inspection", "nowhere")
    assert said.status == 1
    assert said.err == ("jumok: a fault in jumok: ModuleNotFoundError: x; please report it with what --verbose shows\n")
    said = jumok("sample", "inspection", "nowhere", "--verbose")
    assert said.status == 1
    assert said.err.startswith("Traceback (most recent call last):")
    assert "jumok.gone" not in said.out


def test_errors_say_which_process_they_are_of(jumok, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(cli, "GIVE_WAY_SECONDS", 0.0)
    assert jumok("eval", "nowhere", "nothing").err.startswith("jumok (process 1): no run at nowhere")


@pytest.mark.parametrize(("rank", "waits"), [("0", []), ("1", [cli.GIVE_WAY_SECONDS])])
def test_the_first_process_says_an_error_before_the_others(jumok, monkeypatch, rank, waits):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    waited = []
    monkeypatch.setattr(cli.time, "sleep", waited.append)
    assert jumok("eval", "nowhere", "nothing").status == 2
    assert waited == waits


def test_a_reader_that_leaves_early_is_no_error():
    process = start("train", "--help")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 1


def _run_in_shell(words, redirected, **environment):
    """The status and the lines of a command whose output goes where the shell puts it."""
    line = f'"{sys.executable}" -m jumok {words} {redirected}'
    return subprocess.run(line, shell=True, capture_output=True, env={**os.environ, **environment})


@pytest.mark.parametrize(
    ("words", "redirected", "status"),
    [("systems", ">&-", 0), ("systems nosuch", "2>&-", 2), ("systems nosuch", ">&- 2>&-", 2), ("runs .", "2>&-", 0)],
)
def test_a_closed_output_is_no_error(words, redirected, status):
    done = _run_in_shell(words, redirected)
    assert done.returncode == status
    assert b"Traceback" not in done.stderr


def test_a_current_folder_that_is_gone_is_one_line(jumok, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    said = jumok("systems")
    monkeypatch.chdir(tmp_path)
    assert said.status == 2
    assert said.err.startswith("jumok: the current folder cannot be used (No such file or directory): change to")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full here")
def test_a_full_output_is_one_line_and_status_2():
    done = _run_in_shell("systems", "> /dev/full")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full here")
def test_an_error_that_cannot_be_told_keeps_its_status(monkeypatch):
    with Path("/dev/full").open("w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        with pytest.raises(SystemExit) as ended:
            cli.main(["inspect", "nowhere"])
        assert ended.value.code == 2
        with contextlib.suppress(OSError):
            full.close()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp949"])
def test_an_output_that_lacks_signs_gets_their_numbers(encoding):
    done = _run_in_shell("--language ko systems ram", "", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode(encoding).startswith("ram: ")


def test_the_version_is_the_packages_own():
    project = tomllib.loads((Path(package.__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert package.__version__ == project["version"]


def test_public_names_are_there_and_no_others_are_said_to_be():
    assert len(package.__all__) == len(set(package.__all__))
    for name in package.__all__:
        assert callable(getattr(package, name))
    assert set(package.__all__) <= set(dir(package))
    documented = (Path(__file__).parents[2] / "docs" / "python.md").read_text("utf-8")
    assert set(package.__all__) == set(re.findall(r"^\| `jumok\.(\w+)` \|", documented, re.MULTILINE))
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = package.lode


def test_the_verb_watch_is_a_function_and_no_module_bears_its_name():
    import jumok.watching.watch

    assert package.watch is jumok.watching.watch.watch
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("jumok.watch")


def test_sample_writes_images_and_masks(jumok, tmp_path):
    said = jumok("sample", "inspection", tmp_path / "s", "--size", 32, "--train", 8, "--val", 4, "--test", 4)
    assert said.status == 0
    assert len(list((tmp_path / "s" / "images").rglob("*.png"))) == 16
    assert "16 images in" in said.out
    said = jumok("sample", "inspection", tmp_path / "t", "--size", 3)
    assert said.status == 2
    assert said.err.count("\n") == 1


def test_the_version_is_printed(jumok):
    said = jumok("--version")
    assert (said.status, said.out, said.err) == (0, f"jumok {package.__version__}\n", "")


@pytest.mark.parametrize(
    ("typed", "wanted"), [("jumok tra", {"train", "translate"}), ("jumok train --sy", {"--system"})]
)
def test_the_shell_completes_commands_and_options(typed, wanted):
    environment = {"_JUMOK_COMPLETE": "complete_bash", "_TYPER_COMPLETE_ARGS": typed, "COMP_WORDS": typed}
    environment |= {"COMP_CWORD": str(len(typed.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "jumok"], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert set(done.stdout.split()) == wanted


def test_a_warning_of_a_library_is_one_line_without_its_source(jumok, monkeypatch):
    def run(_arguments):
        warnings.warn("a library\nthinks so", UserWarning, stacklevel=1)
        warnings.warn("Image size exceeds", Image.DecompressionBombWarning, stacklevel=1)  # the reader says it
        return 0

    monkeypatch.setattr("jumok.app.cli.run", run)
    said = jumok("systems")
    assert (said.status, said.err) == (0, "warning: a library thinks so\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["look", "a.png", "--out", ""], "--out is empty: give a value, or leave it out"),
        (["look", "a.png", "--out="], "--out is empty: give a value, or leave it out"),
        (["train", ""], "a word of the command is empty, where a path belongs: give it, or leave it out"),
        (
            ["predict", "run", "--", ""],
            "a word of the command is empty, where a path belongs: give it, or leave it out",
        ),
    ],
)
def test_an_empty_word_is_not_taken_for_this_folder(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert (ended.value.code, capsys.readouterr().err) == (2, f"jumok: {said}\n")
    assert not list(tmp_path.iterdir())
