"""CTranslate2 on the weights of our Transformer: what a user who wants speed alone would take."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.measuring import device
from jumok.special_tokens import EOS, PAD, SOS, SYMBOLS
from jumok.systems.transformer import Transformer
from jumok.tasks.translate.ctranslate import write_model

__all__ = ["decode", "load"]

PLACES = 128


def load(model: Transformer, kind: str) -> Any:
    """CTranslate2's translator of a model, with as many threads as torch has.

    Args:
        model: its vocabularies are numbers here.
        kind: of the numbers that it computes with, float32 or int8.
    """
    import ctranslate2

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        source, target = model.config.source_vocabulary, model.config.target_vocabulary
        write_model(model, PLACES, _name_tokens(source), _name_tokens(target), folder)
        return ctranslate2.Translator(
            str(folder), device=device(), compute_type=kind, inter_threads=1, intra_threads=torch.get_num_threads()
        )


def decode(translator: Any, source: Tensor, *, length: int, beam: int) -> list[list[int]]:
    """Decode to `length` tokens per sentence, in one batch, as our search does.

    Args:
        translator: as `load` gives it, of a model that never ends a sentence by itself.
        source: (sentences, tokens) of ids, padded, each with its end sign, which CTranslate2 adds itself.
    """
    tokens = [[str(number) for number in row if number not in (PAD, EOS)] for row in source.tolist()]
    found = translator.translate_batch(
        tokens, beam_size=beam, length_penalty=1.0, max_batch_size=0, max_decoding_length=length,
        suppress_sequences=[[SYMBOLS[PAD]], [SYMBOLS[SOS]]],
    )  # fmt: skip
    return [[int(token) for token in each.hypotheses[0]] for each in found]


def _name_tokens(size: int) -> list[str]:
    return [*SYMBOLS, *map(str, range(len(SYMBOLS), size))]
