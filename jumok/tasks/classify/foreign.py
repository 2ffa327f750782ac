"""Image classifiers from elsewhere, with what is done to their images before; those of `transformers`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from jumok.errors import JumokError, foreign
from jumok.systems.pretrained import describe_hf
from jumok.tasks.bounded import bound_of_folder, building_within
from jumok.tasks.classify.preparation import Processed
from jumok.tasks.classify.processors import open_hf_processor
from jumok.tasks.foreign_files import (
    ADVICE,
    advise,
    check_code,
    check_hf_folder,
    without_remarks,
)
from jumok.tasks.foreign_models import is_folder, list_fresh, load_weights, read_problem
from jumok.wording import typed, write_count

if TYPE_CHECKING:
    from jumok.tasks.classify.kinds import AnswerKind

__all__ = ["ADVICE", "Foreign", "load_hf", "name_classes", "without_remarks"]

OTHER_HEAD = re.compile(r"For(?!ImageClassification)[A-Z]\w*$")
"""In the name of a class of `transformers`, what it is for, where that is no classification of images."""


@dataclass(frozen=True)
class Foreign:
    """A network from elsewhere.

    Args:
        network: as its library builds it.
        options: what it is built again from; see `jumok.systems.pretrained`.
        classes: names, in the order of its logits.
        preparation: what is done to its images.
        fresh: names of weights that were not in its files.
        problem: what its logits are for, where it says so: "multi_label_classification", "regression"; else "".
        kind: of network that its weights were saved from, where it says so.
    """

    network: nn.Module
    options: Mapping[str, Any]
    classes: tuple[str, ...]
    preparation: Processed
    fresh: frozenset[str] = frozenset()
    problem: str = ""
    kind: str = ""

    def answers(self, name: str) -> AnswerKind:
        """What its logits mean.

        Args:
            name: of the model, for messages.
        Raises:
            JumokError: some of its weights are random, or its logits are of no kind that is known.
        """
        from jumok.tasks.classify.kinds import OneClass
        from jumok.tasks.classify.kinds.from_elsewhere import GivenLabels, GivenNumber, OneLogit

        self._check_whole(name)
        if self.problem == "multi_label_classification":
            return GivenLabels(self.classes)
        if self.problem == "regression" and len(self.classes) != 1:
            raise JumokError(
                f"{name} gives {write_count(len(self.classes), 'number')} for each image (regression): wanted classes, "
                "labels or one number; in Python, use jumok.watch around it"
            )
        if self.problem == "regression":
            return GivenNumber(self.classes)
        return OneClass(self.classes) if len(self.classes) > 1 else OneLogit(self.classes)

    def _check_whole(self, name: str) -> None:
        """Refuse a network some of whose weights are not there."""
        if OTHER_HEAD.search(self.kind):
            raise JumokError(
                f"{name} is a {self.kind}, which gives no classes of an image: wanted an image classifier; in Python, "
                "use jumok.watch around it"
            )
        if not self.classes:
            raise JumokError(
                f"{name} has no layer that names classes (num_classes 0): give a model with its classifier, or train "
                f"one with jumok train IMAGES --system {name}"
            )
        if self.fresh:
            fresh = list_fresh(self.fresh, pooler=True)
            raise JumokError(
                f"{name} lacks the weights {fresh}, so its answers would be random: give a checkpoint with its "
                f"classifier, or train one with jumok train IMAGES --system {name}"
            )


def load_hf(name: str) -> Foreign:
    """Load an image classifier of `transformers`: weights from safetensors only, and no code of the model's own.

    Args:
        name: a folder, or a name on the hub.
    Raises:
        JumokError: there is no such model, it is no image classifier, or its images cannot be prepared as it wants.
        ModuleNotFoundError: `transformers` is not installed.
    """
    import transformers

    local = is_folder(name)
    if local:
        check_hf_folder(Path(name))
    bound = bound_of_folder(name)
    with foreign(f"cannot open hf:{name}", advise(name)), without_remarks(), building_within(bound):
        values, _ = transformers.PretrainedConfig.get_config_dict(name, local_files_only=local)
        check_code(f"hf:{name}", values)
        config = transformers.AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)
        _check_family(name, config)
        model, fresh = load_weights(transformers.AutoModelForImageClassification, f"hf:{name}")
        classes = name_classes(config)
        options = {"architecture": describe_hf(json.loads(config.to_json_string(use_diff=False)))}
        problem = read_problem(f"hf:{name}", config)
    preparation = open_hf_processor(name, config, local=local)
    return Foreign(model.float(), options, classes, preparation, fresh, problem, _name_kind(config))


def _name_kind(config: Any) -> str:
    return str((getattr(config, "architectures", None) or [""])[0])


def _check_family(name: str, config: Any) -> None:
    """Refuse a family of models among which there is no image classifier."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as KNOWN
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as ASKED

    if config.model_type not in KNOWN and config.model_type in ASKED:
        raise JumokError(
            f'hf:{name} answers questions about images: jumok ask PHOTO "What is this?" --model {typed(f"hf:{name}")}'
        )
    if config.model_type not in KNOWN:
        raise JumokError(
            f"hf:{name} is a {_name_kind(config) or config.model_type}, and transformers has no image classifier of "
            f"the family {config.model_type}: wanted one; in Python, use jumok.watch around it"
        )


def name_classes(config: Any) -> tuple[str, ...]:
    """The classes; those that a configuration does not name as `transformers` names such."""
    names = config.id2label or {}
    return tuple(str(names.get(number, f"LABEL_{number}")) for number in range(config.num_labels))
