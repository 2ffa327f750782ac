"""The alignment page as a file: what it holds, how exactly, and that nothing gets out of it."""

import base64
import re
import zlib
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from page_text import block, data_of

from jumok.attention import AttentionMap, Scale, Tokens
from jumok.errors import JumokError
from jumok.views.pages.alignment_page import AlignmentEntry, AlignmentPage
from jumok.views.pages.html_file import PAGE_BYTES

HOSTILE = "</script><script>alert(1)</script><!--"


@dataclass(frozen=True)
class Drawn:
    sure: frozenset = frozenset()
    possible: frozenset = frozenset()


def an_alignment(targets, sources, seed=0, scale=Scale.DISTRIBUTION):
    weights = (3 * torch.randn(targets, sources, generator=torch.Generator().manual_seed(seed))).softmax(-1)
    names = (Tokens(tuple(map(str, range(count)))) for count in (targets, sources))
    return AttentionMap(weights, *names, (), scale, "cross")


def an_entry(targets=3, sources=4, maps=2, seed=0, **changes):
    given = {
        "source": [f"s{number}" for number in range(sources)],
        "target": [f"t{number}" for number in range(targets)],
        "maps": maps
        if isinstance(maps, dict)
        else {f"map {number}": an_alignment(targets, sources, 100 * seed + number) for number in range(maps)},
    }
    return AlignmentEntry(**{**given, **changes})


def text_of(tmp_path, *entries, title="T", **options):
    page = AlignmentPage(title, **options)
    for entry in entries:
        page.add(entry)
    page.write(tmp_path / "page.html")
    return (tmp_path / "page.html").read_text("utf-8")


def weights_of(text, number):
    """(maps, targets, sources), by the description at the head of packing.py."""
    about = data_of(text)["entries"][number]["packed"]
    raw = zlib.decompress(base64.b64decode(block(text, f"maps-{number}")), -15)
    heads, targets, sources = about["heads"], about["queries"]["rows"], about["keys"]["columns"]
    peaks = np.frombuffer(raw, "<f4", heads * targets).reshape(heads, targets, 1)
    codes = np.frombuffer(raw, "u1", offset=peaks.nbytes).reshape(heads, targets, sources)
    return codes / 255 * peaks


def test_all_maps_are_held_within_half_a_step_of_their_rows(tmp_path):
    entry = an_entry(17, 23, maps=9)
    text = text_of(tmp_path, entry)
    held = weights_of(text, 0)
    assert held.shape == (9, 17, 23)
    error = data_of(text)["entries"][0]["error"]
    for weights, each in zip(held, entry.maps.values(), strict=True):
        difference = np.abs(weights - each.weights.double().numpy())
        assert (difference <= each.weights.amax(-1, keepdim=True).numpy() / 510 * (1 + 1e-6)).all()
        assert difference.max() <= error * (1 + 1e-9)


def test_words_note_gold_and_score_are_held_as_given(tmp_path):
    gold = Drawn(frozenset({(3, 2), (0, 0)}), frozenset({(0, 0), (1, 2)}))
    entry = an_entry(source=["한국어를", "\u1112\u1161\u11ab", "a", ""], note="a note", gold=gold, score=0.25)
    data = data_of(text_of(tmp_path, entry, an_entry(), score="AER"))
    first, second = data["entries"]
    assert first["source"] == ["한국어를", "한", "a", "\N{OPEN BOX}"], "Korean in whole syllables"
    assert (first["note"], first["score"], second["score"], data["score"]) == ("a note", 0.25, None, "AER")
    assert first["gold"] == {"sure": [[0, 0], [3, 2]], "possible": [[1, 2]]}
    assert second["gold"] is None


def test_names_of_maps_are_held_once(tmp_path):
    names = [f"layer {number}, next step" for number in range(30)]
    entries = [an_entry(maps={name: an_alignment(3, 4) for name in names}) for _ in range(5)]
    text = text_of(tmp_path, *entries)
    assert text.count("layer 17, next step") == 1
    assert data_of(text)["names"] == [names]


def test_hostile_text_stays_text(tmp_path):
    entry = an_entry(1, 1, source=[HOSTILE], target=["\udcff"], note=HOSTILE, maps={HOSTILE: an_alignment(1, 1)})
    text = text_of(tmp_path, entry, title=HOSTILE, score=HOSTILE)
    assert "<script>alert" not in text
    assert text.count("</script>") == text.count("<script")
    assert data_of(text)["entries"][0]["source"] == [HOSTILE]


def test_the_file_asks_for_nothing_outside_and_runs_its_own_script_alone(tmp_path):
    text = text_of(tmp_path, an_entry())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    outside = [url for url in re.findall(r"https?://[^\s\"'<>)]+", text) if url != "http://www.w3.org/2000/svg"]
    assert outside == []


def test_a_large_corpus_keeps_the_budget_and_what_gave_way_is_told(tmp_path):
    budget = PAGE_BYTES + 150_000
    entries = [an_entry(20, 22, maps=12, seed=number) for number in range(60)]
    text = text_of(tmp_path, *entries, budget=budget)
    assert len(text.encode()) <= budget
    lost = [entry["lost"] for entry in data_of(text)["entries"]]
    assert lost[0] == 0, "the first keep all"
    assert lost[-1] == 11, "the last keep their first map"
    assert lost == sorted(lost)
    assert np.abs(weights_of(text, 59)[0] - entries[59].maps["map 0"].weights.numpy()).max() < 1 / 500


def test_a_page_of_real_size_is_small(tmp_path):
    """24 maps of 30 x 30 words: at most a byte a weight and a third for base64, and what the words take."""
    text = text_of(tmp_path, *(an_entry(30, 30, maps=24, seed=number) for number in range(4)))
    assert len(text.encode()) < PAGE_BYTES + 4 * 24 * 30 * 30 * 1.4


HEADS = AttentionMap(torch.ones(2, 3, 4), Tokens(("t",) * 3), Tokens(("s",) * 4), ("head",))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (an_entry(maps=0), "no map to show"),
        (an_entry(source=[]), "1 to 200 source words a sentence, got 0"),
        (an_entry(target=["x"] * 201), "1 to 200 target words"),
        (an_entry(source="abcd"), "split it first"),
        (an_entry(target=["a"]), r"'map 0' is \(3, 4\), for 1 target and 4 source words"),
        (an_entry(score=float("nan")), "finite"),
        (an_entry(gold=Drawn(frozenset({(4, 0)}))), "source word 4 to target word 0, outside 4 and 3"),
        (an_entry(maps={"raw": an_alignment(3, 4, scale=Scale.SCORE)}), "softmax"),
        (an_entry(maps={"all": HEADS}), "choose with .at"),
    ],
)
def test_what_a_page_cannot_show_is_said_with_its_number(entry, said):
    page = AlignmentPage("T")
    page.add(an_entry())
    with pytest.raises(JumokError, match=f"sentence 2: .*{said}"):
        page.add(entry)
    assert len(page) == 1


def test_an_empty_page_and_an_empty_budget_are_refused(tmp_path):
    with pytest.raises(JumokError, match="at least one sentence pair"):
        AlignmentPage("T").write(tmp_path / "page.html")
    with pytest.raises(JumokError, match="budget"):
        AlignmentPage("T", budget=0)
