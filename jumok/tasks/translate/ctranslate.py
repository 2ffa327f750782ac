"""A Transformer as a CTranslate2 model, which brings its own search: greedy or beam, on processors and GPUs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.special_tokens import EOS, PAD, SOS, SYMBOLS, UNK
from jumok.systems.transformer import Transformer
from jumok.tasks.exporting import require
from jumok.tasks.translate.export import count_places
from jumok.tasks.translate.run import PairRun

__all__ = ["CTranslated", "save_ctranslate", "write_model"]


def save_ctranslate(run: PairRun, folder: Path) -> None:
    """Write a run's weights and vocabularies as a CTranslate2 model.

    Args:
        run: of a Transformer.
        folder: for it; it must not be there, or hold such a model.
    Raises:
        JumokError: ctranslate2 is missing, the model is no Transformer, or the folder cannot be written.
    """
    require("ctranslate2")
    model = run.model
    if not isinstance(model, Transformer):
        raise JumokError(f"CTranslate2 knows Transformers, and {run.config.system} is recurrent: export it with --onnx")
    if folder.exists() and not (folder / "model.bin").is_file():
        raise JumokError(f"{folder} holds something other than a CTranslate2 model: choose another --out")
    write_model(model, count_places(run), _list_tokens(run.source), _list_tokens(run.target), folder)


def write_model(model: Transformer, places: int, source: Sequence[str], target: Sequence[str], folder: Path) -> None:
    """Write a model by itself.

    Args:
        places: tokens that a sentence may have.
        source, target: entries of the vocabularies by their ids, no two of one alike.
        folder: for it.
    Raises:
        JumokError: the folder cannot be written.
    """
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


def _list_tokens(vocabulary: Any) -> list[str]:
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
    positions = model.position(0, places).detach().numpy()
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
    found: np.ndarray[Any, Any] = tensor.detach().contiguous().float().numpy()
    return found


class CTranslated:
    """A written model in use, with the vocabularies of its run.

    Args:
        run: that it was made of.
        folder: of the model.
        threads: of the processor.
    """

    def __init__(self, run: PairRun, folder: Path, threads: int = 1) -> None:
        import ctranslate2

        self._run = run
        self._translator = ctranslate2.Translator(str(folder), device="cpu", intra_threads=threads)
        self._source, self._target = _list_tokens(run.source), _list_tokens(run.target)
        self._number = {token: number for number, token in enumerate(self._target)}

    def translate(self, texts: Sequence[str], beam: int = 5, batch_tokens: int = 4000) -> list[str]:
        """Translate sentences as the run does, with a length penalty of 1."""
        ids = [self._run.source.encode(self._run.cased(text)) for text in texts]
        tokens = [[self._source[number] for number in own] for own in ids]
        found = self._translator.translate_batch(
            tokens, beam_size=beam, length_penalty=1.0, max_batch_size=batch_tokens // beam, batch_type="tokens",
            max_decoding_length=2 * max(map(len, tokens), default=0) + 20,
            suppress_sequences=[[SYMBOLS[PAD]], [SYMBOLS[SOS]]],
        )  # fmt: skip
        return [self._run.target.decode([self._number[token] for token in each.hypotheses[0]]) for each in found]
