import os

import pytest

from jumok.data.texts.normal_form import read_lines
from jumok.errors import JumokError


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pairs.tsv")
    with pytest.raises(JumokError, match=r"pairs\.tsv is a pipe or a device: wanted a file"):
        list(read_lines(tmp_path / "pairs.tsv"))
