"""Text encoders of `transformers` with their weights and their tokenizer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from jumok.errors import JumokError, foreign
from jumok.systems.pretrained import describe_hf
from jumok.systems.pretrained_texts import drop_pooler
from jumok.tasks.classify.foreign import ADVICE, without_remarks
from jumok.tasks.label.tokens import Tokens

__all__ = ["ForeignEncoder", "load_encoder"]

MOST_TOKENS = 1 << 16
USUAL_TOKENS = 512
"""Where neither the tokenizer nor the encoder says how many it takes."""
MOST_NAMED = 4
TRIED = "This is a text, with 3 words & more."
POOLING = "1_Pooling/config.json"
"""Of sentence encoders: what their vector is read off."""


@dataclass(frozen=True)
class ForeignEncoder:
    """A text encoder from elsewhere.

    Args:
        architecture: its configuration, as `jumok.systems.pretrained_texts.TextConfig` takes it.
        pool: what its own users read off it.
        weights: by the names that a `TextNetwork` has for them.
        tokens: its tokenizer.
    """

    architecture: Mapping[str, Any]
    pool: str
    weights: Mapping[str, Tensor]
    tokens: Tokens


def load_encoder(name: str) -> ForeignEncoder:
    """Load a text encoder: weights from safetensors only, and no code of the model's own.

    Args:
        name: a folder, or a name on the hub.
    Raises:
        JumokError: there is no such model, it is no text encoder, or some of its weights are missing.
        ModuleNotFoundError: `transformers` is not installed.
    """
    from transformers import AutoConfig, AutoModel

    local = Path(name).is_dir()
    if not local and (Path(name).is_absolute() or name.startswith(".")):
        raise JumokError(f"no model folder at {name}")
    with foreign(f"cannot open hf:{name}", ADVICE), without_remarks():
        config = AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)
        _check_encoder(name, config)
        model, found = AutoModel.from_pretrained(
            name, local_files_only=local, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    fresh = sorted(key for key in found["missing_keys"] if not key.startswith("pooler."))
    if fresh:
        some = ", ".join(fresh[:MOST_NAMED]) + (", ..." if len(fresh) > MOST_NAMED else "")
        raise JumokError(f"hf:{name} lacks the weights {some}: give a checkpoint that has them")
    encoder = model.float()
    drop_pooler(encoder)
    weights = {f"encoder.{key}": value for key, value in encoder.state_dict().items()}
    architecture = describe_hf(json.loads(config.to_json_string(use_diff=False)))
    return ForeignEncoder(architecture, _read_pooling(name, local), weights, _load_tokens(name, local, encoder, config))


def _check_encoder(name: str, config: Any) -> None:
    if getattr(config, "is_encoder_decoder", False):
        raise JumokError(f"hf:{name} writes texts (encoder and decoder): wanted a text encoder, such as a BERT")
    if hasattr(config, "image_size") or hasattr(config, "vision_config"):
        raise JumokError(f"hf:{name} is made for images, and the data are texts: wanted a text encoder, such as a BERT")


def _load_tokens(name: str, local: bool, encoder: Any, config: Any) -> Tokens:
    """The tokenizer, as plain values that give the same tokens.

    Raises:
        JumokError: there is none, or it cannot be had as plain values.
    """
    from transformers import AutoTokenizer

    with foreign(f"hf:{name} has no tokenizer that can be opened", ADVICE), without_remarks():
        own = AutoTokenizer.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    if set(own.get_vocab()) <= set(own.all_special_tokens):  # made from the model's name alone, without a file
        raise JumokError(f"hf:{name} has no tokenizer: wanted a tokenizer.json beside the weights")
    if not getattr(own, "is_fast", False):
        raise JumokError(f"hf:{name} has no tokenizer.json, from which alone jumok builds a tokenizer")
    with foreign(f"hf:{name} has a tokenizer that cannot be used", ADVICE):
        padding = own.pad_token_id if own.pad_token_id is not None else (own.eos_token_id or 0)
        mask = next((each for each in (own.mask_token_id, own.unk_token_id) if each is not None), padding)
        longest = _find_longest(own, encoder, config)
        made = Tokens(own.backend_tokenizer.to_str(), int(padding), int(mask), longest)
        own_ids = own(TRIED, truncation=True, max_length=longest)["input_ids"]
        found_ids = made.encode_all([TRIED], longest)[0][0]
    if found_ids != own_ids:
        raise JumokError(f"hf:{name}: its tokenizer adds tokens in code of its own, which jumok does not run")
    return made


def _find_longest(tokenizer: Any, encoder: Any, config: Any) -> int:
    """Tokens that an encoder takes: as many as its tokenizer says and as it has positions."""
    limit = tokenizer.model_max_length
    said = [int(limit)] if isinstance(limit, int | float) and math.isfinite(limit) else []
    places = getattr(config, "max_position_embeddings", None)
    if isinstance(places, int) and places > 0:
        table = next((each for key, each in encoder.named_modules() if key.endswith("position_embeddings")), None)
        before = getattr(table, "padding_idx", None)  # of RoBERTa and its kin, positions begin behind this one
        said.append(places - (0 if before is None else before + 1))
    likely = [each for each in said if 0 < each <= MOST_TOKENS]
    return min(likely, default=USUAL_TOKENS)


def _read_pooling(name: str, local: bool) -> str:
    """What the vector of a sentence encoder is read off, where it says so."""
    from transformers.utils import cached_file

    path = cached_file(
        name,
        POOLING,
        local_files_only=local,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    with foreign(f"hf:{name}: {POOLING} is damaged", ADVICE):
        values = dict(json.loads(Path(path).read_text("utf-8"))) if path else {}
    return "first" if values.get("pooling_mode_cls_token") else "mean"
