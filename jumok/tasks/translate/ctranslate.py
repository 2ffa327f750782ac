"""A Transformer as a CTranslate2 model, which brings its own search: greedy or beam, on processors and GPUs."""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jumok.errors import JumokError, suggest
from jumok.special_tokens import EOS, PAD, SOS, SYMBOLS, UNK
from jumok.systems.transformer import Transformer
from jumok.tasks.exporting import require
from jumok.tasks.translate.decoding import Hypothesis, Options, check_length

__all__ = ["ENGINES", "CTranslated", "list_tokens", "open_translator", "write_model"]

ENGINES = {"ctranslate2": "float32", "ctranslate2-int8": "int8"}
"""Ways to search by it, and the numbers that they compute with."""
PATIENCE = 2
"""A sentence ends with so many times `beam` hypotheses.

Of 300 sentences of Multi30k, German to English, after 840 steps of training, beam 5, as many came out as by jumok's
search with patience 1, 1.5, 2, 4 and 8: 283, 288, 289, 289, 289; 2 took 1.4 times as long as 1, 8 2.6 times.
"""
LEAST_PLACES = 1024
"""Of tokens in a sentence, which a model that is opened has room for."""


def write_model(model: Transformer, places: int, source: Sequence[str], target: Sequence[str], folder: Path) -> None:
    """Write weights and vocabularies as a CTranslate2 model.

    Args:
        places: tokens that a sentence may have.
        source, target: entries of the vocabularies by their ids, no two of one alike.
        folder: for it; it must not be there, or hold such a model.
    Raises:
        JumokError: ctranslate2 is missing, or the folder cannot be written.
    """
    require("ctranslate2")
    if folder.exists() and not (folder / "model.bin").is_file():
        raise JumokError(f"{folder} holds something other than a CTranslate2 model: choose another --out")
    spec = _fill(model, places)
    spec.register_source_vocabulary(list(source))
    spec.register_target_vocabulary(list(target))
    spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = SYMBOLS[UNK], SYMBOLS[SOS], SYMBOLS[EOS]
    spec.config.decoder_start_token, spec.config.add_source_eos = SYMBOLS[SOS], True
    spec.validate()
    _save(spec, folder)


def _save(spec: Any, folder: Path) -> None:
    """Write the folder, whole or not at all."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as place:
            fresh = Path(place) / folder.name
            fresh.mkdir()
            spec.save(str(fresh))
            if folder.exists():
                shutil.rmtree(folder)
            fresh.replace(folder)
    except OSError as error:
        raise JumokError(f"cannot write {folder}: {error.strerror or error}") from error


def list_tokens(vocabulary: Any) -> list[str]:
    """All entries by their ids, as CTranslate2 is given them.

    Raises:
        JumokError: two are written alike.
    """
    tokens: list[str] = vocabulary.pieces(range(len(vocabulary)))
    if len(set(tokens)) < len(tokens):
        raise JumokError(
            "two entries of the vocabulary are written alike, which CTranslate2 cannot tell apart: use --onnx"
        )
    return tokens


def _fill(model: Transformer, places: int) -> Any:
    """Our weights in CTranslate2's form: normed before each part and at the end, embeddings times sqrt(width)."""
    from ctranslate2.specs import common_spec, transformer_spec

    activations = {"relu": common_spec.Activation.RELU, "gelu": common_spec.Activation.GELU}
    config = model.config
    spec = transformer_spec.TransformerSpec.from_config(
        config.layers, config.heads, pre_norm=True, activation=activations[config.activation]
    )
    positions = model.position(0, places).detach().cpu().numpy()
    for side, table, norm, blocks in (
        (spec.encoder, model.source_embedding, model.encoder_norm, model.encoder),
        (spec.decoder, model.target_embedding, model.decoder_norm, model.decoder),
    ):
        embeddings = side.embeddings[0] if isinstance(side.embeddings, list) else side.embeddings
        embeddings.weight = _array(table.weight)
        side.position_encodings.encodings = positions
        _fill_norm(side.layer_norm, norm)
        for layer, block in zip(side.layer, blocks, strict=True):
            _fill_block(layer, block)
    _fill_linear(spec.decoder.projection, model.output.weight, model.output.bias)
    return spec


def _fill_block(layer: Any, block: Any) -> None:
    """An encoder's block, or a decoder's, which also looks at the source."""
    _fill_norm(layer.self_attention.layer_norm, block.norm1)
    _fill_linear(layer.self_attention.linear[0], block.attn.qkv.weight, block.attn.qkv.bias)
    _fill_linear(layer.self_attention.linear[1], block.attn.out.weight, block.attn.out.bias)
    across = getattr(block, "cross", None)
    if across is not None:
        width = across.width
        _fill_norm(layer.attention.layer_norm, block.norm2)
        _fill_linear(layer.attention.linear[0], across.qkv.weight[:width], across.qkv.bias[:width])
        _fill_linear(layer.attention.linear[1], across.qkv.weight[width:], across.qkv.bias[width:])
        _fill_linear(layer.attention.linear[2], across.out.weight, across.out.bias)
    _fill_norm(layer.ffn.layer_norm, block.norm2 if across is None else block.norm3)
    _fill_linear(layer.ffn.linear_0, block.mlp.widen.weight, block.mlp.widen.bias)
    _fill_linear(layer.ffn.linear_1, block.mlp.narrow.weight, block.mlp.narrow.bias)


def _fill_norm(spec: Any, norm: nn.Module) -> None:
    spec.gamma, spec.beta = _array(norm.weight), _array(norm.bias)


def _fill_linear(spec: Any, weight: Tensor, bias: Tensor) -> None:
    spec.weight, spec.bias = _array(weight), _array(bias)


def _array(tensor: Any) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = tensor.detach().cpu().contiguous().float().numpy()
    return found


class CTranslated:
    """A written model in use.

    Args:
        folder: of the model.
        places, source, target: as it was written with.
        threads: of the processor.
        kind: of the numbers that it computes with, float32 or int8.
        device: cpu or cuda.
    """

    def __init__(
        self,
        folder: Path,
        places: int,
        source: Sequence[str],
        target: Sequence[str],
        *,
        threads: int = 1,
        kind: str = "float32",
        device: str = "cpu",
    ) -> None:
        import ctranslate2

        self._translator = ctranslate2.Translator(
            str(folder), device=device, compute_type=kind, intra_threads=threads, inter_threads=1
        )
        self._places, self._source = places, source
        self._number = {token: number for number, token in enumerate(target)}

    def search(
        self,
        sources: Sequence[Sequence[int]],
        *,
        beam: int = 5,
        n_best: int = 1,
        length_penalty: float = 1.0,
        max_length: int | None = None,
        batch_tokens: int = 4000,
        longest: float = math.inf,
    ) -> list[list[Hypothesis]]:
        """Search for many sentences; arguments and what is given as of `decoding.translate_ids`.

        Differs: a sentence ends as soon as twice `beam` hypotheses are finished, where `translate_ids` goes on as long
        as a better one can come; so a model that is unsure gets some other sentences with a beam. Scores are log
        probabilities among the words that may come, without <pad> and <s>; and a sentence that comes to its greatest
        length, or to the last of the positions, ends there without </s>, compared with what is finished by then.

        Raises:
            JumokError: options that make no sense, or a sentence with more tokens than there are places.
        """
        Options(beam, n_best, length_penalty, None).check()
        check_length(max_length, beam)
        most = max((len(source) for source in sources if len(source) <= longest), default=0) + 1  # with </s>
        if most > self._places:
            raise JumokError(f"a sentence has {most} tokens and there are {self._places} learned positions: cut it")
        found = [[Hypothesis([], 0.0)] for _ in sources]
        by_limit: dict[int, list[int]] = {}
        for number, source in enumerate(sources):
            if 0 < len(source) <= longest:
                by_limit.setdefault(2 * len(source) + 20 if max_length is None else max_length, []).append(number)
        for limit, numbers in by_limit.items():
            results = self._translator.translate_batch(
                [[self._source[token] for token in sources[number]] for number in numbers],
                beam_size=beam, patience=PATIENCE, num_hypotheses=n_best, length_penalty=length_penalty,
                max_decoding_length=min(limit, self._places - 1),
                max_batch_size=max(1, batch_tokens // beam), batch_type="tokens", return_scores=True,
                suppress_sequences=[[SYMBOLS[PAD]], [SYMBOLS[SOS]]],
            )  # fmt: skip
            for number, result in zip(numbers, results, strict=True):
                found[number] = [
                    Hypothesis([self._number[token] for token in tokens], score)
                    for tokens, score in zip(result.hypotheses, result.scores, strict=True)
                ]
        return found


_open: weakref.WeakKeyDictionary[nn.Module, dict[Any, CTranslated]] = weakref.WeakKeyDictionary()
"""Of each model those that were made of it."""


def open_translator(
    model: nn.Module, engine: str, source: Sequence[str], target: Sequence[str], longest: int
) -> CTranslated:
    """CTranslate2 with a model's weights as they are now; kept for the next call.

    Args:
        engine: a name in `ENGINES`.
        source, target: entries of the vocabularies by their ids.
        longest: tokens that a sentence may come to have, in either language.
    Raises:
        JumokError: no such engine, ctranslate2 is missing, or the model is no Transformer.
    """
    if engine not in ENGINES:
        raise JumokError(f"no engine {engine!r}: {suggest(engine, ENGINES)}")
    if not isinstance(model, Transformer):
        system = type(model).__name__.lower()
        raise JumokError(f"CTranslate2 knows Transformers, and {system} is recurrent: leave --engine out")
    require("ctranslate2")
    places = model.longest or max(LEAST_PLACES, 1 << longest.bit_length())
    sums = tuple(float(each.detach().double().sum()) for each in model.parameters())  # tell when weights were changed
    key = engine, places, torch.get_num_threads(), sums
    kept = _open.setdefault(model, {})
    if key not in kept:
        kept.clear()
        kind, device = ENGINES[engine], next(model.parameters()).device.type
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "model"
            write_model(model, places, source, target, folder)
            threads = torch.get_num_threads()
            kept[key] = CTranslated(folder, places, source, target, threads=threads, kind=kind, device=device)
    return kept[key]
