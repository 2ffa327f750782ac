"""Images, training runs and a program inside the test's own process, for whoever wants them."""

import gc
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from _pytest.doctest import DoctestModule
from app_helpers import QUICK, write_coloured
from hypothesis import settings
from pair_helpers import SMALL, TRANSFORMER, write_reversed

from jumok.app.cli import main

settings.register_profile(
    "jumok", settings(), deadline=None
)  # machines are shared: how long a test takes tells nothing
settings.load_profile("jumok")

os.environ["LC_ALL"] = "C.UTF-8"  # texts are English, whatever language the developer's machine speaks

if threading.current_thread() is threading.main_thread():
    # A shell has what it starts in the background ignore some signals, and nohup another.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGHUP", "SIGQUIT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


EXAMPLE = b">" * 3


class OnlyWhereExamplesAre:
    """No file is imported and looked through for examples that has none, as nearly all have not."""

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_file(self, file_path):
        found = yield
        return [each for each in found if not isinstance(each, DoctestModule) or EXAMPLE in file_path.read_bytes()]


def pytest_configure(config):
    """Give each of several workers a core of its own: where each takes them all, their threads wait for each other."""
    config.pluginmanager.register(OnlyWhereExamplesAre())
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


def pytest_collection_finish():
    """Keep what was imported from the garbage collector, which each training calls: half a million objects, 0.3 s."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Weights and pixels of a test are the same in every run, whatever ran before it."""
    torch.manual_seed(0)
    np.random.seed(0)


# -- training ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from small_runs import write_photos  # here, for it brings the trainer, which takes seconds to import

    return write_photos(tmp_path_factory.mktemp("tasks") / "photos")


@pytest.fixture
def job(photos, tmp_path):
    from small_runs import Job

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield lambda name="run", **settings: Job(photos, tmp_path / name, **settings)
    torch.set_num_threads(threads)


# -- the command line --------------------------------------------------------------------------


class Said:
    """What a command left: its status and what it printed."""

    def __init__(self, status, captured):
        self.status, self.out, self.err = status, captured.out, captured.err


@pytest.fixture
def jumok(capsys):
    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        return Said(stopped.value.code, capsys.readouterr())

    threads = torch.get_num_threads()
    yield call
    torch.set_num_threads(threads)


@pytest.fixture
def stop_after(monkeypatch):
    """Lets Ctrl-C come in the middle of an input whose faithfulness is measured, after so many."""
    from jumok.measures.faithfulness_meter import FaithfulnessMeter

    add = FaithfulnessMeter._flip

    def at(count):
        def stop(meter, *words):
            found = add(meter, *words)
            if len(meter) == count:
                raise KeyboardInterrupt
            return found

        monkeypatch.setattr(FaithfulnessMeter, "_flip", stop)

    yield at
    monkeypatch.undo()


@pytest.fixture(scope="session")
def vit(tmp_path_factory) -> str:
    """A ViT of `transformers` with random weights in a folder, by the name that it is opened with."""
    from pretrained_models import save_hf

    return f"hf:{save_hf(tmp_path_factory.mktemp('models') / 'vit')}"


@pytest.fixture(scope="session")
def coloured(tmp_path_factory) -> Path:
    return write_coloured(tmp_path_factory.mktemp("app") / "coloured")


@pytest.fixture(scope="session")
def trained(coloured, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(coloured), "--out", str(folder), *QUICK, "--epochs", "12", "--lr", "0.005", "--mixup", "0"])
    assert stopped.value.code == 0
    return folder


# -- sentence pairs ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def reversals(tmp_path_factory) -> Path:
    """A folder of train, val and test: sentences of made-up words, and the same from their end to their beginning."""
    return write_reversed(tmp_path_factory.mktemp("pairs") / "reversals")


def train_reverser(data: Path, folder: Path, *words: str) -> Path:
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(data), "--out", str(folder), *words])
    assert stopped.value.code == 0
    return folder


@pytest.fixture(scope="session")
def reverser(reversals, tmp_path_factory) -> Path:
    """A run of a recurrent translator that reverses sentences without mistakes, or nearly so."""
    return train_reverser(
        reversals, tmp_path_factory.mktemp("runs") / "reverser", *SMALL, "--epochs", "8", "--no-trust"
    )


@pytest.fixture(scope="session")
def transformer(reversals, tmp_path_factory) -> Path:
    """A run of a Transformer that reverses sentences, most of them rightly."""
    return train_reverser(
        reversals, tmp_path_factory.mktemp("runs") / "transformer", *TRANSFORMER, "--epochs", "9", "--no-trust"
    )
