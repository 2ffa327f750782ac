import contextlib
import os
import signal
import time

import pytest

from jumok.app import cli, signals
from jumok.errors import Stopped


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(signals, "SECONDS_UNTIL_ASKED_AGAIN", 0.05)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_stop_that_a_library_swallows_is_asked_for_again(impatient, name):
    began = time.monotonic()
    with pytest.raises(Stopped), signals.stopping_in_order():
        with contextlib.suppress(BaseException):  # as numba clears whatever its look-up of types raised
            os.kill(os.getpid(), getattr(signal, name))
        time.sleep(10)
    assert time.monotonic() - began < 5
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_tidies_up_after_a_stop_is_left_to_its_end(impatient):
    tidy = []
    with pytest.raises(Stopped), signals.stopping_in_order():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            try:
                raise OSError("a file is gone already")
            except OSError:
                time.sleep(0.3)
                tidy.append("done")
    assert tidy == ["done"]


def test_ctrl_c_says_so_in_a_line(monkeypatch, capsys):
    def interrupted(_):
        return 130  # what typer makes of a KeyboardInterrupt

    monkeypatch.setattr(cli, "run", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main(["look", "a.png"])
    assert (ended.value.code, capsys.readouterr().err) == (130, "jumok: stopped by SIGINT\n")
