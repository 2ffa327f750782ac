"""What the program says is found in its code, and is in the Korean catalogue."""

import io
import textwrap

import pytest
from babel.messages.pofile import read_po
from test_catalogue import NAMES

from jumok.locale.__main__ import find_catalogue
from jumok.locale.collect import collect_printed
from jumok.locale.said import find_said

MOST_MISSING = 0.03
"""Share of what is printed that may be without Korean, and is then shown in English: `make texts` names it."""


@pytest.fixture(scope="module")
def needed():
    return collect_printed()


@pytest.fixture(scope="module")
def messages():
    catalogue = read_po(io.BytesIO(find_catalogue("ko", "printed").read_bytes()), "ko")
    return {message.id[0] if message.pluralizable else message.id: message for message in catalogue if message.id}


def find(source):
    return {(said.one, said.many) for said in find_said({"app/one.py": textwrap.dedent(source)}, ["app/"])}


def test_nearly_all_that_is_printed_has_its_translation(needed, messages):
    def finished(text):
        message = messages.get(text.one)
        return message is not None and not message.fuzzy and any(message.string if text.many else [message.string])

    missing = [f"{text.one!r} in {', '.join(places)}" for text, places in needed.items() if not finished(text)]
    assert len(missing) <= MOST_MISSING * len(needed), "run `make texts` and write the Korean:\n" + "\n".join(missing)


def test_a_translation_puts_every_value_back(messages):
    wrong = {}
    for text, message in messages.items():
        for string in message.string if message.pluralizable else [message.string]:
            if string and sorted(NAMES.findall(string)) != sorted(NAMES.findall(text)):
                wrong[text] = string
    assert wrong == {}


def test_values_become_names_and_texts_within_are_followed():
    source = """
    USUAL = "as asked"

    def _explain(chosen):
        return f"did you mean {chosen!r}?" if chosen else "give another one"

    def check(path, told):
        why = USUAL if told else "by the data"
        raise JumokError(f"no file {path.name} ({why}): {_explain(path)}")
    """
    assert find(source) == {
        ("no file {name} ({text}): {text2}", ""),
        ("as asked", ""),
        ("by the data", ""),
        ("did you mean {chosen}?", ""),
        ("give another one", ""),
    }


def test_counts_have_their_plural_and_lists_their_items():
    source = """
    def lines(self):
        notes = [f"left out: {write_count(self.left, 'image')}"]
        notes.append("; ".join(["no class", *(f"{name} is empty" for name in self.names)]))
        return notes
    """
    assert find(source) == {
        ("left out: {text}", ""),
        ("{count} image", "{count} images"),
        ("no class", ""),
        ("{name} is empty", ""),
    }


def test_what_is_typed_or_not_said_is_no_text():
    source = """
    LABEL = "not said at all"

    def command(run):
        session.say(f"jumok eval {run}")
        return {"a key": "of a dictionary"}
    """
    assert find(source) == set()
