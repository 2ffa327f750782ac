"""What `jumok look` is asked for, whatever answers it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from jumok.app.engine.settings import EngineSettings, PageSettings
from jumok.app.map_methods import HELP
from jumok.app.options import refuse
from jumok.app.sentences import find_path
from jumok.errors import JumokError
from jumok.tasks.running.config import Strict

__all__ = ["FileSettings", "LookRequest", "MapSettings", "TextSettings"]

OF_A_LAYER = ("grad-cam", "raw")
"""Methods that read a layer, which may be named."""


class MapSettings(Strict):
    """How a model is asked where it looks; None where a flag was left out.

    Args:
        method: of attribution, or of saliency.
        target: the class to explain.
        layer, head: whose weights are shown; a layer by number or by name.
        without_sinks: show maps without sinks, too.
    """

    method: str | None = Field(
        default=None,
        description=f"{HELP} (default: the first method the model supports); without a model one of jumok saliency.",
    )
    target: str | None = Field(
        default=None,
        description="Class or label to explain, by methods that explain one (default: the most probable one).",
    )
    layer: str | None = Field(
        default=None,
        description="With raw: layer, from 0; negative from the end (default -1). With raw or grad-cam: name of a "
        "module.",
    )
    head: int | None = Field(default=None, description="With raw: head, from 0 (default: the mean over heads).")
    without_sinks: bool = Field(
        default=False,
        description="Show maps that come from attention also without sinks: patches all look at that tell nothing.",
    )

    @property
    def layer_wanted(self) -> int | str:
        """Its number, or its name."""
        given = "-1" if self.layer is None else self.layer
        return int(given) if given.removeprefix("-").isdecimal() else given


class TextSettings(Strict):
    """What only text models have a use for.

    Args:
        generate: tokens to write.
        chat: put texts into the model's chat template.
    """

    generate: int | None = Field(
        default=None,
        description="Of text and speech models that write: tokens to write, and to show what each read; default: at "
        "most 64 (speech: 100), and of a decoder the next word alone.",
    )
    chat: bool = Field(default=False, description="Of text models: put the text into the model's chat template.")


class FileSettings(Strict):
    """What is written of single images.

    Args:
        html: a page.
        pictures: a picture of each map.
        maps: a column of maps, of a data set.
        batch_size: images at a time.
        export: a program that everything is written for, too.
    """

    html: bool = Field(default=True, description="Write one page for the whole call.")
    pictures: bool = Field(default=True, description="Write a picture of each map, which takes the most time.")
    maps: bool = Field(default=True, description="With --engine: a column of maps.")
    batch_size: int = Field(default=16, ge=1, description="Images at a time.")
    export: Literal["fiftyone"] | None = Field(
        default=None,
        description="Also write OUT/fiftyone, a data set that FiftyOne imports, with predictions and maps.",
    )


@dataclass(frozen=True, kw_only=True)
class LookRequest:
    """What is looked at and how.

    Args:
        inputs: paths, or texts for a text model.
        model: a run, or hf: or timm: with a name; None: saliency without a model.
        out: folder for what is written.
        maps, texts, files, engine, pages: the options, by what they are about.
    """

    inputs: tuple[str, ...]
    model: str | None
    out: Path
    maps: MapSettings
    texts: TextSettings
    files: FileSettings
    engine: EngineSettings
    pages: PageSettings

    def take_path(self) -> Path:
        """The one path of images, or of texts for a run.

        Raises:
            JumokError: several, or a text where the model takes none.
        """
        (given, *others) = self.inputs
        is_text = " " in given.strip() and find_path(given) is None
        if others or is_text:
            self._check_written_so()
        taker = f"{self.model} takes no text" if self.model else "no --model was named"
        if len(self.inputs) > 1:
            raise JumokError(
                f"wanted one image, folder or file, got {len(self.inputs)}, and {taker}: put them into one folder"
            )
        if is_text:
            raise JumokError(
                f"no file or folder {given!r}, and {taker}: give a path, or a text model with --model hf:FOLDER"
            )
        return Path(given)

    def _check_written_so(self) -> None:
        """Refuse a model that lacks the word before its name, or that cannot be opened: it might read texts.

        Raises:
            JumokError: what was probably meant, or why it cannot be opened.
        """
        from jumok.tasks.foreign_files import check_hf_folder
        from jumok.tasks.model_types import PREFIX
        from jumok.tasks.running.run import guess_elsewhere

        folder = Path((self.model or "").removeprefix(PREFIX))
        if self.model and self.model.startswith(PREFIX) and folder.is_dir():
            check_hf_folder(folder)
        if self.model and ":" not in self.model and (hint := guess_elsewhere(folder)):
            raise JumokError(f"{folder} is not a run: {hint}")

    def check_layer(self) -> None:
        """Refuse the choice of a layer or a head where the method reads none.

        Raises:
            JumokError: there is such a choice.
        """
        named = self.maps.layer is not None and not isinstance(self.maps.layer_wanted, int)
        if named and self.maps.method not in OF_A_LAYER:
            raise JumokError(
                f"--layer {self.maps.layer} is read by {' and '.join(OF_A_LAYER)}, and the method is "
                f"{self.maps.method or 'not named'}: add --method {OF_A_LAYER[0]}"
            )
        if self.maps.method != "raw" and (self.maps.head is not None or (self.maps.layer is not None and not named)):
            raise JumokError(
                "--layer N and --head choose among raw weights, and the method is "
                f"{self.maps.method or 'not raw'}: add --method raw"
            )

    def refuse_of_text_models(self) -> None:
        """Refuse flags that only text models have a use for."""
        refuse(
            {"--generate": self.texts.generate, "--chat": self.texts.chat or None},
            "they are of text models: --model hf:FOLDER of one",
        )

    def refuse_of_images(self, why: str) -> None:
        """Refuse flags that only maps over single images have a use for."""
        refuse(
            {"--layer": self.maps.layer, "--head": self.maps.head, "--without-sinks": self.maps.without_sinks or None},
            why,
        )

    def refuse_export(self, why: str) -> None:
        """Refuse to write for another program."""
        refuse({"--export": self.files.export}, why)

    def refuse_of_models(self, why: str) -> None:
        """Refuse flags that only models have a use for."""
        refuse({"--target": self.maps.target}, why)
        self.refuse_of_images(why)
