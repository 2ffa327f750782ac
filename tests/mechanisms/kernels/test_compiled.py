import errno
import pickle

import numpy as np
import pytest
from numba.core import caching

from jumok.mechanisms.kernels.compiled import compile_when_called


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("save", OSError(errno.ENOSPC, "No space left on device")),
        ("load", pickle.UnpicklingError("damaged")),
        ("load", OSError(errno.EACCES, "Permission denied")),
    ],
)
def test_a_cache_that_cannot_be_used_is_done_without(monkeypatch, place, error):
    def refuse(*_):
        raise error

    @compile_when_called
    def fill(first, last, found):
        for number in range(first, last):
            found[number] = number

    monkeypatch.setattr(caching.IndexDataCacheFile, place, refuse)
    for _ in range(2):
        found = np.zeros(4)
        fill(1, 4, found)
        assert found.tolist() == [0, 1, 2, 3]


def test_what_the_loop_itself_raises_is_raised():
    @compile_when_called
    def divide(first, last, found):
        if last > found.size:
            raise IndexError("too far")

    with pytest.raises(IndexError, match="too far"):
        divide(0, 5, np.zeros(4))
