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
from jumok.tasks.bounded import bound_of_folder, building_within
from jumok.tasks.foreign_files import ADVICE, advise, without_remarks
from jumok.tasks.foreign_models import is_folder, list_fresh, load_weights
from jumok.tasks.label.tokens import Tokens

__all__ = [
    "ForeignEncoder",
    "find_longest",
    "load_encoder",
    "load_tokenizer",
    "read_parts",
    "read_pooling",
]

MOST_TOKENS = 1 << 16
USUAL_TOKENS = 512
"""Where neither the tokenizer nor the encoder says how many it takes."""
TRIED = "This is a text, with 3 words & more."
POOLING = "1_Pooling/config.json"
"""Of sentence encoders: what their vector is read off."""
PARTS = "modules.json"
"""Of sentence encoders: what they are made of."""
MODES = {
    "pooling_mode_cls_token": "first",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean over the root of the length",
    "pooling_mode_weightedmean_tokens": "weighted mean",
    "pooling_mode_lasttoken": "last",
    "cls": "first",
}


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

    local = is_folder(name)
    bound = bound_of_folder(name)
    with foreign(f"cannot open hf:{name}", advise(name)), without_remarks(), building_within(bound):
        config = AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)
        _check_encoder(name, config)
        model, missing = load_weights(AutoModel, f"hf:{name}")
    if fresh := list_fresh(missing):
        raise JumokError(f"hf:{name} lacks the weights {fresh}: give a checkpoint that has them")
    encoder = model.float()
    drop_pooler(encoder)
    weights = {f"encoder.{key}": value for key, value in encoder.state_dict().items()}
    architecture = describe_hf(json.loads(config.to_json_string(use_diff=False)))
    return ForeignEncoder(
        architecture, "first" if read_pooling(name) == "first" else "mean", weights, _load_tokens(name, encoder, config)
    )


def _check_encoder(name: str, config: Any) -> None:
    if getattr(config, "is_encoder_decoder", False):
        raise JumokError(f"hf:{name} writes texts (encoder and decoder): wanted a text encoder, such as a BERT")
    if hasattr(config, "image_size") or hasattr(config, "vision_config"):
        raise JumokError(f"hf:{name} is made for images, and the data are texts: wanted a text encoder, such as a BERT")


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model, without code of its own.

    Raises:
        JumokError: there is none.
    """
    from transformers import AutoTokenizer

    with foreign(f"hf:{name} has no tokenizer that can be opened", ADVICE), without_remarks():
        found = AutoTokenizer.from_pretrained(name, local_files_only=is_folder(name), trust_remote_code=False)
    if set(found.get_vocab()) <= set(found.all_special_tokens):  # made from the model's name alone, without a file
        raise JumokError(f"hf:{name} has no tokenizer: wanted a tokenizer.json beside the weights")
    return found


def _load_tokens(name: str, encoder: Any, config: Any) -> Tokens:
    """The tokenizer, as plain values that give the same tokens.

    Raises:
        JumokError: there is none, or it cannot be had as plain values.
    """
    own = load_tokenizer(name)
    if not getattr(own, "is_fast", False):
        raise JumokError(f"hf:{name} has no tokenizer.json, from which alone jumok builds a tokenizer")
    with foreign(f"hf:{name} has a tokenizer that cannot be used", ADVICE):
        padding = own.pad_token_id if own.pad_token_id is not None else (own.eos_token_id or 0)
        mask = next((each for each in (own.mask_token_id, own.unk_token_id) if each is not None), padding)
        longest = find_longest(own, encoder, config)
        made = Tokens(own.backend_tokenizer.to_str(), int(padding), int(mask), longest)
        own_ids = own(TRIED, truncation=True, max_length=longest)["input_ids"]
        found_ids = made.encode_all([TRIED], longest)[0][0]
    if found_ids != own_ids:
        raise JumokError(f"hf:{name}: its tokenizer adds tokens in code of its own, which jumok does not run")
    return made


def find_longest(tokenizer: Any, encoder: Any, config: Any) -> int:
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


def read_pooling(name: str) -> str:
    """What the vector of a sentence encoder is read off: "first", "mean" or otherwise; empty where it is not said."""
    values = _read_json(name, POOLING)
    if not isinstance(values, dict) or not values:
        return ""
    said = values.get("pooling_mode")
    modes = (
        [said] if isinstance(said, str) else [key for key, wanted in values.items() if wanted is True and key in MODES]
    )
    return MODES.get(modes[0], modes[0]) if len(modes) == 1 else " and ".join(map(str, modes)) or "mean"


def read_parts(name: str) -> list[str]:
    """The parts of a sentence encoder, by their classes; none where it does not say so."""
    values = _read_json(name, PARTS)
    return [str(part.get("type", "")) for part in values if isinstance(part, dict)] if isinstance(values, list) else []


def _read_json(name: str, file: str) -> Any:
    """What a file beside the weights holds; None where there is none."""
    from transformers.utils import cached_file

    path = cached_file(
        name,
        file,
        local_files_only=is_folder(name),
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    with foreign(f"hf:{name}: {file} is damaged", ADVICE):
        return json.loads(Path(path).read_text("utf-8")) if path else None
