"""A disk that fails at the n-th call that changes it, below one folder; all other calls are the system's own."""

import builtins
import io
import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

CALLS = ("fsync", "replace", "rename", "link", "unlink", "mkdir")
WRITING = set("wax+")


class Disk:
    """Counts the calls that change a folder, and fails at one of them.

    Args:
        folder: whose.
        number: of the call that fails, from 0; None: none does.
        code: the error, as of `errno`.
        fail: called in its place, such as to end the process.
    """

    def __init__(self, folder, number=None, code=0, fail=None):
        self.folder, self.number, self.code, self.fail = str(Path(folder).resolve()), number, code, fail
        self.calls = []

    def note(self, name, path):
        """Count a call, and fail if its turn has come."""
        whole = (
            Path(f"/proc/self/fd/{path}").readlink() if isinstance(path, int) else Path(os.fsdecode(path)).absolute()
        )
        place = str(whole)
        if not place.startswith(self.folder) or (name == "mkdir" and whole.is_dir()):
            return
        self.calls.append((name, os.path.relpath(place, self.folder)))
        if len(self.calls) - 1 == self.number:
            if self.fail:
                self.fail()
            raise OSError(self.code, os.strerror(self.code), place)

    def wrap(self, name, inner):
        def call(path, *words, **options):
            self.note(name, path)
            return inner(path, *words, **options)

        return call

    def wrap_open(self, inner):
        def call(file, mode="r", *words, **options):
            if WRITING & set(mode) and not isinstance(file, int):
                self.note("write", file)
            return inner(file, mode, *words, **options)

        return call

    @contextmanager
    def used(self):
        """Have this disk in the block."""
        with ExitStack() as stack:
            for name in CALLS:
                stack.enter_context(patch.object(os, name, self.wrap(name, getattr(os, name))))
            for module in (builtins, io):
                stack.enter_context(patch.object(module, "open", self.wrap_open(module.open)))
            yield self
