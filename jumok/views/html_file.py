"""What one-file HTML pages share: their parts from this package, and data that cannot break out of its element."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import metadata, resources
from typing import Any


def encodable(text: str) -> str:
    """Text that UTF-8 can hold: names of files may have bytes that are none."""
    return text.encode("utf-8", "replace").decode("utf-8")


def as_json(value: Any) -> str:
    """JSON in which nothing can end the script element around it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def text_block(name: str, content: str) -> str:
    """A script element that the browser keeps as text and never runs."""
    return f'<script type="text/plain" id="{name}">{content}</script>'


def script_hash(text: str) -> str:
    """How a content security policy names the one script, or style, that it lets through."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def asset(name: str) -> str:
    """A file of this package, as text."""
    return resources.files("jumok.views").joinpath(name).read_text("utf-8")


def made_by() -> str:
    """The program and its version."""
    try:
        return f"jumok {metadata.version('jumok')}"
    except metadata.PackageNotFoundError:
        return "jumok"
