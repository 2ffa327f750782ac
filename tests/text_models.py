"""Tiny text models of every kind, saved to folders with their tokenizers."""

import torch
from text_encoders import SMALL, make_tokenizer, save_encoder

WRITTEN = ["The quick brown fox jumps over the lazy dog.", "The capital of Korea is Seoul, of France Paris."]
PLACES = 48
SMALL_DECODER = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": PLACES}
SMALL_PAIR = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4}
SMALL_PAIR |= {
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": PLACES,
}
CLASSES = {0: "bad", 1: "good", 2: "so-so"}


def make_bytes():
    """A byte-level tokenizer, in which a blank belongs to the word behind it and Hangul is three tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(WRITTEN * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>", bos_token="<end>")


def save_text_model(folder, name, **options):
    """A model of `transformers` by the name of its class, with random weights that are not too even."""
    import transformers

    torch.manual_seed(0)
    config, tokenizer = _configure(name, options)
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3 if weight.dim() > 1 else 1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_sentence_encoder(folder):
    """A BERT with a pooling configuration as sentence encoders have it."""
    save_encoder(folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    return folder


def _configure(name, options):
    import transformers

    family = next(
        family
        for family in ("DistilBert", "Roberta", "Bert", "GPT2", "Llama", "T5", "Marian", "Bart")
        if name.startswith(family)
    )
    make = getattr(transformers, f"{family}Config")
    if family in ("Bert", "Roberta", "DistilBert"):
        tokenizer, size = make_tokenizer()
        sizes = SMALL | {"max_position_embeddings": PLACES}
        if family == "DistilBert":
            sizes = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": PLACES}
        return make(vocab_size=size, pad_token_id=0, **sizes, **options), tokenizer
    tokenizer = make_bytes()
    ids = {"vocab_size": len(tokenizer), "eos_token_id": 0, "bos_token_id": 0}
    if family == "GPT2":
        return make(**ids, **SMALL_DECODER, **options), tokenizer
    if family == "Llama":
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        return make(**ids, **sizes, num_key_value_heads=2, max_position_embeddings=PLACES, **options), tokenizer
    ids |= {"pad_token_id": 1, "decoder_start_token_id": 1}
    if family == "T5":
        return make(**ids, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, **options), tokenizer
    return make(**ids, **SMALL_PAIR, forced_eos_token_id=None, **options), tokenizer
