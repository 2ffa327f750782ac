"""The processor of a vision-language model: image processor, tokenizer and chat template, from its files alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from jumok.errors import JumokError, first_line, foreign
from jumok.tasks.foreign_files import PROCESSOR, without_remarks

__all__ = ["Processor", "open_processor"]

ADVICE = "give a folder with all files that the model was saved with"
ONE = "ask about one image"
JOINED = "processor_config.json"
TOKENIZERS = ("tokenizer.json", "*.model", "vocab.*", "*vocab.json", "*.tiktoken", "tekken.json")
"""Files of which a tokenizer has one."""
VIDEOS = "video_processor"
COUNTING = ("patch_size", "vision_feature_select_strategy", "image_seq_length", "image_seq_len", "num_query_tokens")
"""Settings of a processor by which it counts the tokens that stand for an image."""
IMAGE_ATTRIBUTES = ("image_token", "context_image_token")
PLACEHOLDERS = (*IMAGE_ATTRIBUTES, "video_token", "audio_token")
USUAL_IMAGE = "<image>"
WITH_PLACES = ("Blip", "InstructBlip", "PaliGemma", "Florence")
"""How the processors are called that put the places of an image into a prompt themselves."""
WITHOUT_ROLES = (*WITH_PLACES, "Chameleon", "Fuyu", "Git", "Kosmos2", "Pix2Struct")
"""And those of models that were trained on plain text, and never had a chat template."""


class Processor:
    """What turns an image and a question into a model's inputs.

    Args:
        whole: the processor of `transformers`.
    """

    def __init__(self, whole: Any) -> None:
        self.whole = whole
        self.tokenizer = whole.tokenizer
        self.images = whole.image_processor

    @property
    def has_template(self) -> bool:
        """Whether the model says how a conversation is written."""
        return bool(getattr(self.whole, "chat_template", None) or getattr(self.tokenizer, "chat_template", None))

    @property
    def lacks_template(self) -> bool:
        """Whether the model was trained on conversations, and does not say how one is written."""
        return not self.has_template and not type(self.whole).__name__.startswith(WITHOUT_ROLES)

    def write_prompt(self, question: str, images: int = 1, *, plain: bool = False) -> str:
        """The question as the model was trained to read one, with the places of the images in it.

        Args:
            question: any text.
            images: how many.
            plain: without the chat template.
        Raises:
            JumokError: the chat template cannot be used, or the question holds what stands for an image.
        """
        self._check_placeholders(question)
        if plain or not self.has_template:
            return f"{self._find_image_word() * images}{question}"
        from transformers import ProcessorMixin

        content = [*[{"type": "image"}] * images, {"type": "text", "text": question}]
        said = [{"role": "user", "content": content}]
        own = getattr(self.whole, "chat_template", None)
        template = None if own else self.tokenizer.chat_template  # some folders keep it with the tokenizer alone
        with foreign("the chat template cannot be used", ADVICE):
            # What families add to it is for videos alone, and SmolVLM asks for their processor even without one.
            return str(ProcessorMixin.apply_chat_template(self.whole, said, template, add_generation_prompt=True))

    def read(self, name: str, images: Sequence[Any], prompt: str) -> dict[str, Any]:
        """The model's inputs, as tensors.

        Raises:
            JumokError: the processor cannot read the images or the prompt.
        """
        one = len(images) == 1
        what = "this image and question" if one else f"these {len(images)} images and the question together"
        with foreign(f"the processor of hf:{name} cannot read {what}", ADVICE if one else ONE), without_remarks():
            return dict(self.whole(images=list(images), text=[prompt], return_tensors="pt"))

    def _check_placeholders(self, question: str) -> None:
        tokens = (getattr(self.whole, each, None) for each in PLACEHOLDERS)
        words = [str(getattr(each, "content", each)) for each in tokens if each is not None]
        if held := next((word for word in words if word and word in question), None):
            raise JumokError(
                f"the question holds {held}, which stands for an image or a recording in what the model reads: leave "
                "it out, for each image given is put in front of the question"
            )

    def _find_image_word(self) -> str:
        """What stands for the image in a prompt; nothing where the processor puts it there itself."""
        if type(self.whole).__name__.startswith(WITH_PLACES):
            return ""
        found = next((getattr(self.whole, each) for each in IMAGE_ATTRIBUTES if hasattr(self.whole, each)), USUAL_IMAGE)
        return f"{getattr(found, 'content', found)}\n"


def open_processor(name: str, local: bool, model_type: str) -> Processor:
    """Open the processor of a model.

    Args:
        name: a folder, or a name on the hub.
        local: whether it is a folder.
        model_type: as the model's configuration says.
    Raises:
        JumokError: it is missing, is of a kind that is not known, or needs code of its own.
    """
    options = {"local_files_only": local, "trust_remote_code": False}
    if local:
        _check_present(name)
    kind = _find_kind(name, local, model_type)
    with foreign(f"cannot open the processor of hf:{name}", ADVICE):
        parts = {"tokenizer": _open_tokenizer(name, options), "image_processor": _open_images(name, options)}
        own = [each for each in kind.get_attributes() if each.endswith("_tokenizer")]  # as that of a Q-Former
        parts |= {each: _open_tokenizer(name, {**options, "subfolder": each}) for each in own}
        settings, _ = kind.get_processor_dict(name, local_files_only=local)
        kind = _without_videos(kind)
        with _naming_packages(f"the processor of hf:{name}"):
            whole = kind.from_args_and_dict([parts.get(part) for part in kind.get_attributes()], settings)
        _check_counting(name, whole)
        return Processor(whole)


def _check_counting(name: str, whole: Any) -> None:
    """Name the settings that are missing: the library stumbles over them later, or counts other tokens."""
    if lacking := [each for each in COUNTING if hasattr(whole, each) and getattr(whole, each) is None]:
        raise JumokError(
            f"the processor of hf:{name} does not say {' and '.join(lacking)} ({JOINED}), so it cannot tell how many "
            f"tokens stand for an image: {ADVICE}"
        )


def _check_present(name: str) -> None:
    """Name what a folder lacks: the library speaks of the hub instead."""
    files = {path.name for path in Path(name).iterdir()}
    joined = json.loads((Path(name) / JOINED).read_text("utf-8")) if JOINED in files else {}
    if PROCESSOR not in files and "image_processor" not in joined:
        raise JumokError(f"hf:{name} has no {PROCESSOR}, so it does not say how its images are prepared: {ADVICE}")
    if not any(fnmatchcase(file, each) for file in files for each in TOKENIZERS):
        raise JumokError(f"hf:{name} has no tokenizer ({TOKENIZERS[0]}): {ADVICE}")


@contextmanager
def _naming_packages(what: str) -> Iterator[None]:
    """Say which package is not installed, where a library does: its files are none of the reasons."""
    try:
        yield
    except ImportError as error:
        raise JumokError(f"{what} needs a package that is not installed: {first_line(error)}") from error


def _find_kind(name: str, local: bool, model_type: str) -> Any:
    """The processor's class: as its files name it, or else as `transformers` has it for such models."""
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    said = _read_said(name, local)
    wanted = said or PROCESSOR_MAPPING_NAMES.get(model_type)
    if wanted is None:
        raise JumokError(f"hf:{name} has no processor, and none is known for models of type {model_type}: {ADVICE}")
    kind = getattr(transformers, wanted, None)
    if kind is None:
        raise JumokError(
            f"hf:{name} wants the processor {wanted}, which is none of transformers {transformers.__version__}: jumok "
            "runs no code that comes with a model"
        )
    return kind


def _read_said(name: str, local: bool) -> str | None:
    """The class that the files name."""
    from transformers.utils import cached_file

    for file in (JOINED, PROCESSOR, "tokenizer_config.json"):
        path = cached_file(
            name,
            file,
            local_files_only=local,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        if path is None:
            continue
        with foreign(f"{path} is damaged", ADVICE):
            values = json.loads(Path(path).read_text("utf-8"))
            if isinstance(values, dict) and isinstance(values.get("processor_class"), str):
                return str(values["processor_class"])
    return None


def _open_tokenizer(name: str, options: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(name, **options)


def _open_images(name: str, options: dict[str, Any]) -> Any:
    """The image processor that works by Pillow, which traces and reads alike on every machine."""
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(name, backend="pil", **options)
    except ImportError as error:
        if "torchvision" not in str(error):
            raise
        raise JumokError(
            f"the image processor of hf:{name} needs torchvision: pip install torchvision, of the version that fits "
            "your torch"
        ) from error


def _without_videos(kind: Any) -> Any:
    """The same processor without the part for videos, which needs torchvision even to be there."""

    def check(self: Any, name: str, value: Any) -> Any:
        return None if name == VIDEOS and value is None else kind.check_argument_for_proper_class(self, name, value)

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": check, "__module__": __name__})
