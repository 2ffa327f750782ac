"""Images, training runs and a program inside the test's own process, for whoever wants them."""

from pathlib import Path

import pytest
import torch
from app_helpers import QUICK, write_coloured
from hypothesis import settings

from jumok.app.cli import main

settings.register_profile(
    "jumok", settings(), deadline=None
)  # machines are shared: how long a test takes tells nothing
settings.load_profile("jumok")

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
