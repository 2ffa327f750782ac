"""Images and training runs that tests share."""

from pathlib import Path

import pytest
import torch
from small_runs import Job, write_photos


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("tasks") / "photos")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def job(photos, tmp_path):
    return lambda name="run", **settings: Job(photos, tmp_path / name, **settings)
