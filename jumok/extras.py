"""How what is optional is installed here."""

from __future__ import annotations

from pathlib import Path

__all__ = ["install_extra"]


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
