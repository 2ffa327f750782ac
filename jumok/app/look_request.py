"""What `jumok look` is asked for, whatever answers it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jumok.app.options import refuse
from jumok.app.sentences import find_path
from jumok.errors import JumokError

__all__ = ["LookRequest", "ManyOptions"]

OF_A_LAYER = ("grad-cam", "raw")
"""Methods that read a layer, which may be named."""
SHARD_SIZE = 1024


@dataclass(frozen=True)
class ManyOptions:
    """How a data set of looks is made.

    Args:
        engine: its name.
        processes: that look, each with a model of its own.
        shard_size: inputs of a file of the data set, which is what a process does at a time.
        column: of Parquet files, that holds images.
        maps: whether the data set has maps.
    """

    engine: str
    processes: int = 1
    shard_size: int = SHARD_SIZE
    column: str | None = None
    maps: bool = True


@dataclass(frozen=True, kw_only=True)
class LookRequest:
    """What is looked at and how; None where a flag was left out.

    Args:
        inputs: paths, or texts for a text model.
        model: a run, or hf: or timm: with a name; None: saliency without a model.
        method: of attribution, or of saliency.
        target: the class to explain.
        layer, head: whose weights are shown; a layer by number or by name.
        without_sinks: show maps without sinks, too.
        generate: tokens that a text model writes.
        chat: put texts into the model's chat template.
        out: folder for what is written.
        html, pictures: write a page, and a picture of each map.
        batch_size: images at a time.
        many: a data set is written instead.
    """

    inputs: tuple[str, ...]
    model: str | None
    method: str | None
    target: str | None
    layer: str | None
    head: int | None
    without_sinks: bool
    generate: int | None
    chat: bool
    out: Path
    html: bool
    pictures: bool
    batch_size: int
    many: ManyOptions | None

    def take_path(self) -> Path:
        """The one path of images, or of texts for a run.

        Raises:
            JumokError: several, or a text where the model takes none.
        """
        taker = f"{self.model} takes no text" if self.model else "no --model was named"
        if len(self.inputs) > 1:
            raise JumokError(
                f"wanted one image, folder or file, got {len(self.inputs)}, and {taker}: put them into one folder"
            )
        (given,) = self.inputs
        if " " in given.strip() and find_path(given) is None:
            raise JumokError(
                f"no file or folder {given!r}, and {taker}: give a path, or a text model with --model hf:FOLDER"
            )
        return Path(given)

    @property
    def layer_wanted(self) -> int | str:
        """Its number, or its name."""
        given = "-1" if self.layer is None else self.layer
        return int(given) if given.removeprefix("-").isdecimal() else given

    def check_layer(self) -> None:
        """Refuse the choice of a layer or a head where the method reads none.

        Raises:
            JumokError: there is such a choice.
        """
        named = self.layer is not None and not isinstance(self.layer_wanted, int)
        if named and self.method not in OF_A_LAYER:
            raise JumokError(
                f"--layer {self.layer} is read by {' and '.join(OF_A_LAYER)}, and the method is "
                f"{self.method or 'not named'}: add --method {OF_A_LAYER[0]}"
            )
        if self.method != "raw" and (self.head is not None or (self.layer is not None and not named)):
            raise JumokError(
                "--layer N and --head choose among raw weights, and the method is "
                f"{self.method or 'not raw'}: add --method raw"
            )

    def refuse_of_text_models(self) -> None:
        """Refuse flags that only text models have a use for."""
        refuse(
            {"--generate": self.generate, "--chat": self.chat or None},
            "they are of text models: --model hf:FOLDER of one",
        )

    def refuse_of_images(self, why: str) -> None:
        """Refuse flags that only maps over single images have a use for."""
        refuse(
            {"--layer": self.layer, "--head": self.head, "--without-sinks": self.without_sinks or None},
            why,
        )

    def refuse_of_models(self, why: str) -> None:
        """Refuse flags that only models have a use for."""
        refuse({"--target": self.target}, why)
        self.refuse_of_images(why)
