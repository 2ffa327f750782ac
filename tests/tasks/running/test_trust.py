"""Which map is the most faithful, as a run's folder keeps it: whole in every language, or refused."""

import pytest

from jumok.errors import JumokError
from jumok.language import later, later_noun, speaking, take_apart, translate
from jumok.tasks.running.trust import Trust, read_trust, write_trust


def a_trust():
    noun, baseline = later_noun(40, "images"), later("an edge map")
    verdict = later(
        "{method}: {how} on {count} {noun}{more}", method="libra", how=baseline, count="40", noun=noun, more=""
    )
    return Trust(method="libra", verdict=verdict, inputs=40, parts=take_apart(verdict))


def test_a_verdict_that_another_process_stored_is_told_in_the_language_of_now(tmp_path, monkeypatch):
    write_trust(tmp_path, a_trust())
    with speaking("ko"):
        told = translate(a_trust().why())
        monkeypatch.setattr("jumok.language._made", {})  # as in another process
        found = read_trust(tmp_path)
        assert translate(found.why()) == told
    assert "libra: an edge map on 40 images" in found.why()
    assert "edge map" not in told


def test_an_earlier_run_without_parts_is_read(tmp_path):
    (tmp_path / "trust.yaml").write_text("method: libra\nverdict: beats all\ninputs: 3\n")
    assert "(beats all)" in read_trust(tmp_path).why()


@pytest.mark.parametrize(
    "parts",
    [
        "another",
        "[1]",
        "{entry: a, text: a}",
        "{entry: beats all, text: beats all, values: 3}",
        "{entry: '{x}', text: beats all, values: {}}",
        "{entry: other, text: beats all, values: {}}",
        "{entry: '{x.real}', text: '{x.real}', values: {x: a}}",
        "{entry: '{x:999999999}', text: '{x:999999999}', values: {x: a}}",
    ],
)
def test_parts_that_do_not_make_the_verdict_are_one_line(tmp_path, parts):
    (tmp_path / "trust.yaml").write_text(f"method: libra\nverdict: beats all\ninputs: 3\nparts: {parts}\n")
    with pytest.raises(JumokError, match=r"trust\.yaml: ") as caught:
        read_trust(tmp_path)
    assert "\n" not in str(caught.value)
