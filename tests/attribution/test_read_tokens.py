"""Where no query is named, relevance starts from the tokens that the target was read off."""

import pytest
import torch

from jumok.watching.seen import watch

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
