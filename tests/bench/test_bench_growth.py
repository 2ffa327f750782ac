"""How benches tell growth: exponents with their intervals, and what a command takes by itself."""

import math
import sys

import pytest

from bench import growth


def test_the_exponent_is_the_slope_of_the_logarithms():
    found = growth.exponent({10: 3.0, 100: 300.0, 1000: 30_000.0})
    assert found.middle == pytest.approx(2.0)
    assert found.low == pytest.approx(2.0)
    bent = growth.exponent({10: 1.0, 100: 2.0, 1000: 400.0})
    assert bent.low < bent.middle < bent.high
    assert math.isnan(growth.exponent({10: 1.0, 100: -1.0, 1000: 2.0}).middle)


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are told by Linux")
def test_what_a_command_takes_does_not_count_what_this_process_holds():
    held = bytearray(b"x" * (300 << 20))
    few = growth._cost(["-c", "pass"])
    many = growth._cost(["-c", "held = bytearray(b'x' * (100 << 20))"])
    assert len(held) > 0
    assert few.memory < 100 < many.memory < 300
    assert few.seconds > 0


def test_a_command_that_fails_says_why():
    with pytest.raises(RuntimeError, match="no such thing"):
        growth._cost(["-c", "raise SystemExit('no such thing')"])
