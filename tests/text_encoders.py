"""Tiny text encoders of `transformers` saved to a folder with their tokenizer, and texts of two topics to train on."""

import csv

import numpy as np
import torch

TOPICS = {
    "food": ["oven", "recipe", "butter", "flour", "onion", "dish", "sauce", "chef"],
    "sport": ["goal", "match", "team", "coach", "league", "player", "striker", "stadium"],
}
FILLING = ["the", "a", "was", "very", "with", "and", "some", "that", "good", "bad", "today", "we", "then", "after"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def make_texts(each=60, seed=0, classes=("food", "sport")):
    chance = np.random.default_rng(seed)
    rows = []
    for number in range(each * len(classes)):
        label = classes[number % len(classes)]
        words = [*chance.choice(FILLING, chance.integers(4, 9)), *chance.choice(TOPICS[label], 2, replace=False)]
        rows.append((" ".join(chance.permutation(words)), label))
    return rows


def write_texts(path, rows=None, names=("text", "label"), separator=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator).writerows([names, *(make_texts() if rows is None else rows)])
    return path


def make_tokenizer():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = [*FILLING, *(word for topic in TOPICS.values() for word in topic)]
    pieces = [*SPECIAL, *words, "st", "##riking"]
    made = Tokenizer(models.WordPiece({name: number for number, name in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = [("[CLS]", 2), ("[SEP]", 3)]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    names = {f"{name[1:-1].lower()}_token": name for name in SPECIAL}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names), len(pieces)


def save_encoder(folder, family="Bert", **options):
    import transformers

    torch.manual_seed(0)
    tokenizer, size = make_tokenizer()
    config = getattr(transformers, f"{family}Config")(vocab_size=size, max_position_embeddings=24, **SMALL, **options)
    getattr(transformers, f"{family}Model")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
