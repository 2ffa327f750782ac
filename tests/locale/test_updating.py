"""Bringing a catalogue up to date loses no translation without a word."""

import io

import pytest
from babel.messages.pofile import read_po

from jumok.locale import __main__ as updating
from jumok.locale.collect import Text

OLD = """
msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: nplurals=1; plural=0;\\n"

msgid "no such {kind}: {advice}"
msgstr "{advice}: {kind} 없음"

msgid "{count} old file"
msgid_plural "{count} old files"
msgstr[0] "오래된 파일 {count}개"

msgid "{name} and {name}"
msgstr "{name} 둘"

msgid "said no more"
msgstr "안 쓰는 말"
"""


@pytest.fixture
def brought_up(tmp_path, monkeypatch):
    """Update the old catalogue for some texts. Returns what was found, and the translations after it."""
    path = tmp_path / "ko" / "LC_MESSAGES" / "jumok.po"
    path.parent.mkdir(parents=True)
    path.write_text(OLD, "utf-8")
    monkeypatch.setattr(updating, "FOLDER", tmp_path)

    def bring(*texts):
        monkeypatch.setitem(updating.COLLECTORS, "jumok", lambda: {text: ["a.py"] for text in texts})
        monkeypatch.setitem(updating.COLLECTORS, "printed", dict)
        return updating.update("ko"), {message.id: message.string for message in read(path) if message.id}

    def read(path):
        return read_po(io.BytesIO(path.read_bytes()), "ko")

    return bring


KEPT = (
    Text("no such {kind}: {advice}"),
    Text("{count} old file", "{count} old files"),
    Text("{name} and {name}"),
    Text("said no more"),
)


def test_a_text_whose_names_alone_change_keeps_its_translation(brought_up):
    renamed = (
        Text("no such {text2}: {text}"),
        Text("{total} old file", "{total} old files"),
        Text("{path} and {path}"),
    )
    found, translated = brought_up(*renamed, KEPT[-1])
    assert translated == {
        "no such {text2}: {text}": "{text}: {text2} 없음",
        ("{total} old file", "{total} old files"): ("오래된 파일 {total}개",),
        "{path} and {path}": "{path} 둘",
        "said no more": "안 쓰는 말",
    }
    assert found == ([], [])


def test_a_name_that_becomes_two_is_not_guessed(brought_up):
    found, _ = brought_up(*KEPT[:2], Text("{path} and {text}"), KEPT[-1])
    assert [text.one for text, _ in found.missing] == ["{path} and {text}"]
    assert found.dropped == [("{name} and {name}", "{name} 둘")]


def test_the_command_prints_what_it_takes_out(brought_up, capsys):
    assert brought_up(*KEPT)[0].dropped == []
    updating.COLLECTORS["jumok"] = dict
    updating.main()
    told = capsys.readouterr().out
    for words in ("'said no more', '안 쓰는 말'", "{advice}: {kind} 없음", "오래된 파일 {count}개", "{name} 둘"):
        assert words in told
