"""Options of a data set, where none is written."""

import pytest

from jumok.app.engine.settings import EngineSettings, TextEngineSettings, split_off_engine
from jumok.errors import JumokError


@pytest.mark.parametrize("kind", [EngineSettings, TextEngineSettings])
@pytest.mark.parametrize(("name", "value"), [("processes", 2), ("processes", 1), ("shard_size", 7), ("column", "x")])
def test_options_of_a_data_set_are_refused_where_none_is_written(kind, name, value):
    flag = "--" + name.replace("_", "-")
    with pytest.raises(JumokError, match=f"no use for {flag}: they say how a data set is written"):
        split_off_engine(kind, {name: value, "beam": 3})
    with pytest.raises(JumokError, match=f"no use for {flag}"):
        split_off_engine(kind, {"engine": "search", name: value}, searches=("search",))
    found, rest = split_off_engine(kind, {"engine": "local", name: value, "beam": 3})
    assert (getattr(found, name), found.engine, rest) == (value, "local", {"beam": 3})


@pytest.mark.parametrize(
    "words",
    [
        ("look", "photo.png", "--model", "run"),
        ("saliency", "photo.png"),
        ("measure", "run", "photos"),
        ("predict", "run", "photos"),
        ("eval", "run", "photos"),
        ("translate", "run", "text"),
        ("ask", "run", "photo.png", "what is it?"),
    ],
)
def test_every_command_says_so(jumok, words, trained, photos):
    photo = min(photos.rglob("*.png"))
    given = [{"run": trained, "photo.png": photo, "photos": photos}.get(word, word) for word in words]
    found = jumok(*given, "--processes", "2")
    assert (found.status, found.out) == (2, "")
    assert "no use for --processes: they say how a data set is written" in found.err
