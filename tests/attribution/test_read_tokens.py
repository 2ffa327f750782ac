"""Where no query is named, relevance starts from the tokens that the target was read off."""

import pytest
import torch

from jumok.attention import Tokens
from jumok.errors import JumokError
from jumok.watching.chain import find_query
from jumok.watching.watch import watch

transformers = pytest.importorskip("transformers")
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
IDS = torch.tensor([[5, 9, 4, 7, 11, 3], [8, 3, 6, 12, 0, 0]])
MASK = (IDS > 0).long()


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def logits_of(model, **inputs):
    with watch(model) as seen:
        return seen, model(**inputs).logits


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_an_encoder_is_read_off_its_first_token(attention):
    model = transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL, vocab_size=50)).eval()
    model.set_attn_implementation(attention)
    seen, logits = logits_of(model, input_ids=IDS, attention_mask=MASK)
    found = seen.relevance(logits[:, 1])
    assert torch.equal(found.weights, seen.relevance(logits[:, 1], 0).weights)
    assert not bool(found.weights[1, 0, 4:].any()), "padding"


def test_a_decoder_is_read_off_the_last_word_of_each_text():
    config = transformers.GPT2Config(
        n_embd=32, n_layer=2, n_head=4, vocab_size=50, pad_token_id=0, bos_token_id=1, eos_token_id=2
    )
    model = transformers.GPT2ForSequenceClassification(config).eval()
    seen, logits = logits_of(model, input_ids=IDS, attention_mask=MASK)
    found = seen.relevance(logits[:, 1]).weights
    torch.testing.assert_close(found[0], seen.relevance(logits[:, 1], 5).weights[0])
    torch.testing.assert_close(found[1], seen.relevance(logits[:, 1], 3).weights[1])


def test_a_mean_is_read_off_all_tokens():
    model = transformers.BertModel(transformers.BertConfig(**SMALL, vocab_size=50)).eval()
    with watch(model) as seen:
        target = model(input_ids=IDS[:1]).last_hidden_state.mean(1)[:, 3]
    torch.testing.assert_close(seen.relevance(target).weights, seen.relevance(target, "mean").weights)


def test_an_image_is_read_off_its_class_token():
    config = transformers.ViTConfig(**SMALL, image_size=32, patch_size=8)
    model = transformers.ViTForImageClassification(config).eval()
    seen, logits = logits_of(model, pixel_values=torch.randn(2, 3, 32, 32))
    found = seen.relevance(logits[:, 1])
    assert found.queries.labels() == seen.relevance(logits[:, 1], "cls").queries.labels()
    assert torch.equal(found.weights, seen.relevance(logits[:, 1], "cls").weights)


@pytest.mark.parametrize("method", ["rollout", "raw", "value-weighted"])
def test_methods_that_follow_attention_start_where_the_target_was_read_off(method):
    encoder = transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL, vocab_size=50)).eval()
    seen, logits = logits_of(encoder, input_ids=IDS, attention_mask=MASK)
    found = seen.relevance(logits[:, 1], method=method)
    torch.testing.assert_close(found.weights, seen.relevance(logits[:, 1], 0, method=method).weights)
    assert not bool(found.weights[1, 0, 4:].any()), "padding"
    config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=50, pad_token_id=0)
    decoder = transformers.GPT2ForSequenceClassification(config).eval()
    seen, logits = logits_of(decoder, input_ids=IDS, attention_mask=MASK)
    found = seen.relevance(logits[:, 1], method=method).weights
    for text, last in ((0, 5), (1, 3)):
        wanted = seen.relevance(logits[:, 1], last, method=method).weights[text]
        torch.testing.assert_close(found[text], wanted)
    assert not bool(found[1, 0, 4:].any()), "padding"


def test_without_a_target_the_message_names_the_argument():
    model = transformers.BertModel(transformers.BertConfig(**SMALL, vocab_size=50)).eval()
    with watch(model) as seen:
        model(input_ids=IDS, attention_mask=MASK)
    with pytest.raises(JumokError, match=r"with query=: an index \(0 for the first, such as \[CLS\]"):
        seen.rollout()
    with pytest.raises(JumokError, match="with query="):
        seen.relevance(torch.zeros(()), method="raw")


@pytest.mark.parametrize("name", ["[CLS]", "<s>"])
def test_the_class_token_of_a_text_is_known_by_its_name(name):
    assert find_query("cls", Tokens((name, "a", "b"))) == 0
    with pytest.raises(JumokError, match="no entry 'cls'"):
        find_query("cls", Tokens(("a", name)))
