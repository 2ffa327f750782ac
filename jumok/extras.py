"""How what is optional is installed here."""

from __future__ import annotations

from pathlib import Path

from jumok.language import translate

__all__ = ["EXTRAS", "explain_missing", "install_extra"]

EXTRAS = {
    "kornia": "measure",
    "numba": "measure",
    "scipy": "measure",
    "lightning_fabric": "train",
    "lightning_utilities": "train",
    "pytorch_lightning": "train",
    "tensorboard": "train",
    "torchmetrics": "train",
    "sacrebleu": "text",
    "sentencepiece": "text",
    "pandas": "tables",
    "sklearn": "tables",
    "babel": "samples",
    "transformers": "hf",
    "timm": "timm",
    "peft": "lora",
    "pyarrow": "parquet",
    "fsspec": "datasets",
    "ray": "ray",
    "mlflow": "mlflow",
    "wandb": "wandb",
}
"""Packages that are optional, as they are imported, and an extra that brings each."""
EVERYTHING = "all"
OF_EVERYTHING = frozenset({"measure", "train", "text", "tables", "samples"})
"""Extras that the one for every command on one's own data has in it: no command needs just one of them."""


def explain_missing(error: ModuleNotFoundError) -> str | None:
    """What is not installed and the command that brings it; None for what is no optional package.

    Args:
        error: of an import.
    """
    package = str(error.name).partition(".")[0]
    if package not in EXTRAS:
        return None
    extra = EVERYTHING if EXTRAS[package] in OF_EVERYTHING else EXTRAS[package]
    return translate("this needs {package}, which is not installed: {how}", package=package, how=install_extra(extra))


def install_extra(extra: str) -> str:
    """The command that brings an extra: from the checkout that this is, or from an index.

    Args:
        extra: its name in pyproject.toml, such as "hf".
    """
    own, here = Path(__file__).resolve().parent.parent, Path.cwd()
    if _is_checkout(here):
        return f"pip install {'-e ' if here == own else ''}'.[{extra}]'"
    return f"pip install -e '{own}[{extra}]'" if _is_checkout(own) else f"pip install 'jumok[{extra}]'"


def _is_checkout(folder: Path) -> bool:
    try:
        return 'name = "jumok"' in (folder / "pyproject.toml").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
