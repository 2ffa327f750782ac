"""Processes of an engine that start at once, for whoever does not test how they start."""

import multiprocessing
import pickle

import pytest


class Copies:
    """Starts copies of this process, which has imported all that they need; they are given what a new one would be."""

    def __init__(self, real):
        self.real, self.Pipe = real, real.Pipe

    def Process(self, *, args, **options):
        line, *others = args
        return self.real.Process(args=(line, *pickle.loads(pickle.dumps(others))), **options)


@pytest.fixture(scope="module", autouse=True)
def forked_workers():
    """`test_look_at_many` starts the program itself once, and so its own processes."""
    with pytest.MonkeyPatch.context() as patch:
        real = multiprocessing.get_context
        copies = Copies(real("fork"))
        patch.setattr(multiprocessing, "get_context", lambda way=None: copies if way == "spawn" else real(way))
        yield
