"""Which files are images: the formats that are read, and those that are known but not read."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import PurePath

from jumok.extras import install_extra

FORMAT_NAMES = "PNG, JPEG, WebP, BMP, TIFF, GIF, PPM, AVIF or HEIC"
ALWAYS_READ = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""As Pillow calls them."""
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
AVIF_SUFFIXES = frozenset({".avif", ".avifs"})
HEIC_READERS = ("pi_heif", "pillow_heif")
"""Plug-ins of Pillow, either of which reads HEIC."""
UNREAD_SUFFIXES = frozenset(
    {".psd", ".svg", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".jp2", ".j2k", ".jxl"}
    | {".exr", ".hdr", ".dcm", ".ico", ".tga", ".eps", ".czi", ".nd2", ".svs", ".ndpi"}
)
"""Images of formats that are not read: named when they are left out."""
AVIF_HINT = "AVIF needs Pillow 11.3 or newer: pip install --upgrade pillow"

PACKED = "it is an archive, no image: unpack it, and give the folder"
OTHERS = {
    **dict.fromkeys(
        (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!"), PACKED
    ),
    b"%PDF": "it is a PDF, no image: save its pages as images",
}
"""What other files than images begin with, and what to do with each."""


def hint_at_heic() -> str:
    """What to install."""
    return f"HEIC needs pi-heif: {install_extra('heic')}"


@cache
def reads_heic() -> bool:
    """Whether HEIC can be read; registers the plug-in that does."""
    for name in HEIC_READERS:
        try:
            import_module(name).register_heif_opener()
        except ImportError:
            continue
        return True
    return False


@cache
def reads_avif() -> bool:
    """Whether this Pillow reads AVIF."""
    from PIL import features

    return "avif" in features.modules and bool(features.check("avif"))


@cache
def read_formats() -> tuple[str, ...]:
    """The formats that are read on this machine, as Pillow calls them."""
    return (*ALWAYS_READ, *(["AVIF"] if reads_avif() else []), *(["HEIF"] if reads_heic() else []))


@cache
def read_suffixes() -> frozenset[str]:
    """How names of images that are read on this machine end, in lower case."""
    return (
        SUFFIXES | (AVIF_SUFFIXES if reads_avif() else frozenset()) | (HEIC_SUFFIXES if reads_heic() else frozenset())
    )


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image."""
    return suffix_of(name) in read_suffixes()


def suffix_of(name: str) -> str:
    """How a file's name ends, in lower case; empty where it has no ending.

    >>> suffix_of("A.JPG"), suffix_of("notes")
    ('.jpg', '')
    """
    return PurePath(name).suffix.lower()


def explain_unread(suffix: str) -> str:
    """Why files of this ending are not read as images; empty where they are no images."""
    if suffix in HEIC_SUFFIXES:
        return hint_at_heic()
    if suffix in AVIF_SUFFIXES:
        return AVIF_HINT
    return f"convert them to {FORMAT_NAMES}" if suffix in UNREAD_SUFFIXES else ""


def explain_unread_bytes(head: bytes) -> str:
    """Why a file that begins so is not read on this machine; empty where nothing is known of it.

    >>> explain_unread_bytes(b"just words"), explain_unread_bytes(b"%PDF-1.7")
    ('', 'it is a PDF, no image: save its pages as images')
    """
    other = next((told for begin, told in OTHERS.items() if head.startswith(begin)), "")
    if other or head[4:8] != b"ftyp":
        return other
    if head[8:12] in (b"avif", b"avis"):
        return "" if reads_avif() else AVIF_HINT
    return "" if reads_heic() else hint_at_heic()
