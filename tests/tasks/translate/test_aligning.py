import pytest
import torch
from pair_helpers import settings_of, untrained

import jumok
from jumok.attention.word_alignment import links, shift
from jumok.errors import JumokError
from jumok.special_tokens import EOS, SOS
from jumok.tasks.translate import aligning
from jumok.tasks.translate.aligning import align, choose_reading, list_readings
from jumok.watching.watch import watch


@pytest.fixture(scope="module")
def run(reverser):
    return jumok.load(reverser)


@pytest.fixture(scope="module")
def attentive(transformer):
    return jumok.load(transformer)


@pytest.fixture(scope="module")
def pairs(reversals):
    rows = [line.split("\t") for line in (reversals / "test.tsv").read_text().splitlines()][:20]
    return [row[0] for row in rows], [row[1] for row in rows]


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """An untrained translator whose vocabulary is sub-words, with several heads."""
    folder = tmp_path_factory.mktemp("cut")
    texts = [f"Der kleine Hund Nummer {i} bellt." for i in range(50)]
    (folder / "pairs.tsv").write_text("".join(f"{text}\t{text.upper()} JA!\n" for text in texts))
    data = {"vocabulary": "bpe", "vocabulary_size": 60}
    options = {"score": "multi-head", "heads": 2}
    return untrained(folder / "run", settings_of(folder / "pairs.tsv", options=options, **data))


def align_texts(run, sources, targets, **options):
    return align(run, [run.split_pair(*pair) for pair in zip(sources, targets, strict=True)], **options)


def rows_hold(attention):
    assert bool((attention.weights >= 0).all())
    assert float(attention.weights.sum(-1).max()) <= 1 + 1e-5


def test_a_reversal_is_seen_as_one(run, pairs):
    right = words = 0
    for aligned, source, target in zip(align_texts(run, *pairs), *pairs, strict=True):
        assert (aligned.source, aligned.target) == (tuple(source.split()), tuple(target.split()))
        n = len(aligned.source)
        found = links(aligned.maps["attention"])
        right += len(found & {(n - 1 - i, i) for i in range(n)})
        words += n
    assert right >= 0.9 * words


def test_rows_are_target_words_and_columns_source_words(cut):
    (aligned,) = align_texts(cut, ["Der Hund bellt."], ["DER KLEINE HUND BELLT. JA!"])
    for name, each in aligned.maps.items():
        assert each.weights.shape == (5, 3), name
        assert each.queries.labels() == list(aligned.target)
        assert each.keys.labels() == list(aligned.source)
        rows_hold(each)


def test_weights_are_those_of_the_teacher_forced_pass(run, pairs):
    source, target = pairs[0][0], pairs[1][0]
    ids = run.source.encode(source), run.target.encode(target)
    with torch.no_grad(), watch(run.model) as seen:
        run.model(torch.tensor([[*ids[0], EOS]]), torch.tensor([[SOS, *ids[1]]]))
    steps = seen[seen.names[-1]].at(batch=0)
    (aligned,) = align_texts(run, [source], [target])
    torch.testing.assert_close(aligned.maps["attention"].weights, steps.weights[:-1, :-1])
    torch.testing.assert_close(aligned.maps["attention, next step"].weights, shift(steps).weights[:, :-1])


def test_pieces_are_summed_over_the_source_and_averaged_over_the_target(cut):
    texts = ["Dem kleinen Hunde"], ["HUNDE NUMMEL"]
    (whole,), (apart,) = align_texts(cut, *texts), align_texts(cut, *texts, pieces=True)
    source, target = cut.source.split(texts[0][0]), cut.target.split(texts[1][0])
    assert (apart.source, apart.target) == (tuple(source.pieces), tuple(target.pieces))
    assert len(apart.source) > len(whole.source)
    expected = torch.zeros(2, 3)
    for row, word in zip(apart.maps["attention"].weights, target.owner, strict=True):
        for weight, other in zip(row, source.owner, strict=True):
            expected[word, other] += weight / target.owner.count(word)
    torch.testing.assert_close(whole.maps["attention"].weights, expected)


def test_a_batch_gives_what_one_by_one_does(run, attentive, pairs, monkeypatch):
    for translator in (run, attentive):
        together = align_texts(translator, *pairs)
        monkeypatch.setattr(aligning, "MOST_WEIGHTS", 100)
        some = align_texts(translator, *pairs)
        monkeypatch.undo()
        for one, other, source, target in zip(together, some, *pairs, strict=True):
            (alone,) = align_texts(translator, [source], [target])
            for name, each in one.maps.items():
                torch.testing.assert_close(each.weights, alone.maps[name].weights, rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(each.weights, other.maps[name].weights, rtol=1e-4, atol=1e-5)


def test_a_transformer_has_layers_a_mean_and_heads(attentive, pairs):
    (aligned,) = align_texts(attentive, pairs[0][:1], pairs[1][:1], heads=True)
    plain = ["mean", "layer 1", "layer 2", *(f"layer {i}, head {j}" for i in (1, 2) for j in (1, 2))]
    assert list(aligned.maps) == [name for one in plain for name in (one, f"{one}, next step")]
    maps = {name: each.weights for name, each in aligned.maps.items()}
    torch.testing.assert_close(maps["mean"], (maps["layer 1"] + maps["layer 2"]) / 2)
    heads = (maps["layer 2, head 1, next step"] + maps["layer 2, head 2, next step"]) / 2
    torch.testing.assert_close(maps["layer 2, next step"], heads)
    for each in aligned.maps.values():
        rows_hold(each)
    assert list_readings(attentive, heads=True) == tuple(aligned.maps)
    assert list_readings(attentive) == tuple(align_texts(attentive, pairs[0][:1], pairs[1][:1])[0].maps)


def test_heads_of_a_recurrent_decoder(cut):
    assert list_readings(cut, heads=True)[::2] == ("attention", "head 1", "head 2")
    (aligned,) = align_texts(cut, ["Der Hund"], ["HUND"], heads=True)
    heads = (aligned.maps["head 1"].weights + aligned.maps["head 2"].weights) / 2
    torch.testing.assert_close(aligned.maps["attention"].weights, heads)


def test_what_the_vocabulary_does_not_know_is_aligned_under_its_own_name(cut, run):
    (aligned,) = align_texts(cut, ["Der 犬 Hund"], ["HUND 犬"])
    assert aligned.source == ("Der", "犬", "Hund")
    (aligned,) = align_texts(run, ["nosuchword"], ["<unk> other"])
    assert aligned.target == ("<unk>", "other")


def test_the_reading_that_is_meant(run, attentive):
    assert choose_reading(None, list_readings(run)) == "attention"
    assert choose_reading(None, list_readings(attentive)) == "mean"
    assert choose_reading("layer 2", list_readings(attentive)) == "layer 2"
    with pytest.raises(JumokError, match="no reading 'layer 3': did you mean 'layer 2'"):
        choose_reading("layer 3", list_readings(attentive))


def test_without_attention_there_is_nothing_to_align_by(tmp_path, reversals):
    run = untrained(tmp_path / "run", settings_of(reversals, options={"score": "none"}))
    for call in (lambda: align_texts(run, ["a"], ["b"]), lambda: list_readings(run)):
        with pytest.raises(JumokError, match=r"no attention to its source \(score none\)"):
            call()


def test_empty_sentences_are_refused(run):
    with pytest.raises(JumokError, match="pair 2 has an empty sentence"):
        align_texts(run, ["a", " "], ["b", "c"])
    assert align_texts(run, [], []) == []


def test_what_the_model_wrote_is_aligned_by_its_own_ids(cut):
    text = "HUNDE NUMMEL"
    ids = cut.target.encode(text)
    apart = [*ids, *cut.target.encode("JA!")]

    def align_ids(source, written):
        return align(cut, [(cut.source.split(source), cut.target.regroup(written))])

    (by_ids,) = align_ids("Dem kleinen Hunde", apart)
    assert by_ids.target == ("HUNDE", "NUMMEL", "JA!")
    (by_text,), (same,) = align_texts(cut, ["Dem Hunde"], [text]), align_ids("Dem Hunde", ids)
    for name, map_ in by_text.maps.items():
        torch.testing.assert_close(map_.weights, same.maps[name].weights)
    with pytest.raises(JumokError, match="pair 1 has an empty sentence"):
        align_ids("Dem Hunde", [])


def test_translated_sentences_are_aligned_as_they_are(run, pairs):
    translated = run.translate_each(pairs[0], in_pieces=True)
    texts = [one.best[0].text for one in translated]
    both = zip(align(run, [one.pair for one in translated]), align_texts(run, pairs[0], texts), strict=True)
    for one, other in both:
        assert (one.source, one.target) == (other.source, other.target)
        for name, map_ in one.maps.items():
            assert one.links(name) == links(map_) == other.links(name)
