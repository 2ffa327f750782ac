"""A program that is run inside the test's own process, and images for it."""

from pathlib import Path

import pytest
import torch
from app_helpers import QUICK, write_coloured

from jumok.app.cli import main


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
