"""Every text that help and pages show is in the Korean catalogue, and nothing else is."""

import io
import re

import pytest
from babel.messages.pofile import read_po

from jumok.locale.__main__ import find_catalogue
from jumok.locale.collect import collect

NAMES = re.compile(r"\{\w*\}|\$[a-z_]+")


@pytest.fixture(scope="module")
def needed():
    return collect()


@pytest.fixture(scope="module")
def messages():
    catalogue = read_po(io.BytesIO(find_catalogue("ko").read_bytes()), "ko")
    return {
        message.id[0] if isinstance(message.id, tuple) else message.id: message for message in catalogue if message.id
    }


def test_every_text_has_its_translation(needed, messages):
    def finished(text):
        message = messages.get(text.one)
        return message is not None and not message.fuzzy and any(message.string if text.many else [message.string])

    missing = [f"{text.one!r} in {', '.join(places)}" for text, places in needed.items() if not finished(text)]
    assert not missing, "run `make texts` and write the Korean into jumok.po:\n" + "\n".join(missing)


def test_every_entry_is_in_use(needed, messages):
    unused = set(messages) - {text.one for text in needed}
    assert not unused, f"run `make texts`, which takes these out: {sorted(unused)}"


def test_a_translation_names_what_its_text_names(messages):
    def names(text):
        return sorted(set(NAMES.findall(text)))

    wrong = {}
    for text, message in messages.items():
        translated = message.string[0] if isinstance(message.string, tuple) else message.string
        allowed = [names(each) for each in (message.id if isinstance(message.id, tuple) else [message.id])]
        if names(translated) not in allowed:
            wrong[text] = translated
    assert wrong == {}


def test_texts_are_found_wherever_they_stand(needed):
    places = {text.one: found for text, found in needed.items()}
    assert "jumok look --batch-size" in places["Images at a time."]
    assert "jumok train --batch-size" in places["16 to 64, by the number of images"]
    assert places["Find images"] == ["jumok/views/pages/page.html"]
    assert places["there is not enough memory"] == ["jumok/app/cli.py"]
