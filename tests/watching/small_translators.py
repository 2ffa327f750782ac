"""Small encoder-decoders of `transformers` whose outputs differ and end at different lengths."""

import copy

import pytest
import torch

transformers = pytest.importorskip("transformers")

WORDS, START, END, PAD = 40, 2, 2, 1
SIZES = {
    "vocab_size": WORDS, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 32,
    "pad_token_id": PAD, "bos_token_id": 0, "eos_token_id": END, "decoder_start_token_id": START,
}  # fmt: skip
LONGEST = 12
END_BIAS = {"bart": 1.0, "marian": 3.0, "t5": 1.0}  # so that outputs end at different lengths


def peaked(model, seed=0):
    """Random-init attention is nearly uniform, and a random-init model repeats itself; larger weights vary."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval()


def bart(layers=2):
    sizes = {**SIZES, "decoder_layers": layers, "tie_word_embeddings": False}
    return peaked(transformers.BartForConditionalGeneration(transformers.BartConfig(**sizes)))


def marian():
    sizes = {
        **SIZES,
        "pad_token_id": WORDS - 1,
        "eos_token_id": 0,
        "decoder_start_token_id": WORDS - 1,
        "tie_word_embeddings": False,
    }
    return peaked(transformers.MarianMTModel(transformers.MarianConfig(**sizes)))


def t5():
    config = transformers.T5Config(
        vocab_size=WORDS, d_model=32, d_kv=8, d_ff=32, num_layers=2, num_heads=4, pad_token_id=0,
        eos_token_id=1, decoder_start_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    return peaked(transformers.T5ForConditionalGeneration(config))


MODELS = {"bart": bart, "marian": marian, "t5": t5}


def sources(model, lengths=(7, 4, 9)):
    """A batch of sources of different lengths: ids and attention mask."""
    generator = torch.Generator().manual_seed(5)
    pad, end = model.config.pad_token_id, model.config.eos_token_id
    ids = torch.full((len(lengths), max(lengths)), pad)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(3, WORDS - 2, (length,), generator=generator)
        ids[row, length - 1] = end
    return {"input_ids": ids, "attention_mask": (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()}


def teacher_forced(model, batch, output):
    """(outputs, layers, heads, tokens - 1, keys), by the model's own eager attention; zeros where an output ended."""
    other = copy.deepcopy(model)
    other.set_attn_implementation("eager")
    many = len(output) // len(batch["input_ids"])
    repeated = {name: tensor.repeat_interleave(many, 0) for name, tensor in batch.items()}
    with torch.no_grad():
        maps = other(**repeated, decoder_input_ids=output[:, :-1], output_attentions=True).cross_attentions
    weights = torch.stack(maps, 1)
    for row, tokens in enumerate(output.tolist()):
        ended = [place for place, token in enumerate(tokens) if token == model.config.eos_token_id and place > 0]
        weights[row, :, :, ended[0] if ended else len(tokens) :] = 0
    return weights


def generate(model, batch, **options):
    end, pad = model.config.eos_token_id, model.config.pad_token_id
    options = {
        "max_length": LONGEST, "do_sample": False, "num_beams": 1, "no_repeat_ngram_size": 2, "bad_words_ids": [[pad]],
        "min_length": 4, "sequence_bias": {(end,): END_BIAS[model.config.model_type]}, **options,
    }  # fmt: skip
    with torch.no_grad():
        return model.generate(**batch, **options)
