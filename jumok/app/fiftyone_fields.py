"""The fields of samples as FiftyOne's document of a data set describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["TEXT", "describe_fields"]

TEXT = "text"
"""The kind of a field that holds a text."""
FIELDS = "fiftyone.core.fields."
LABELS: Mapping[str, Mapping[str, str]] = {
    "Classification": {"label": "StringField", "confidence": "FloatField", "logits": "VectorField"},
    "Regression": {"value": "FloatField", "confidence": "FloatField"},
    "Heatmap": {"map": "ArrayField", "map_path": "StringField", "range": "HeatmapRangeField"},
}
"""The fields that each kind of label has, beside its id and tags."""
METADATA = {
    "size_bytes": "IntField",
    "mime_type": "StringField",
    "width": "IntField",
    "height": "IntField",
    "num_channels": "IntField",
}
DOCUMENT = "EmbeddedDocumentField"


def describe_fields(kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """All fields: those that every sample has, and others.

    Args:
        kinds: of the others, by name: `TEXT`, or a kind of label.
    """
    own = [
        _field("id", "ObjectIdField", db_field="_id"),
        _field("filepath", "StringField"),
        _field("tags", "ListField", subfield="StringField"),
        _field("metadata", DOCUMENT, of="metadata.ImageMetadata", inside=_fields(METADATA)),
        _field("_media_type", "StringField"),
        _field("_rand", "FloatField"),
        _field("_dataset_id", "ObjectIdField"),
        _field("created_at", "DateTimeField", read_only=True),
        _field("last_modified_at", "DateTimeField", read_only=True),
    ]
    return own + [
        _field(name, "StringField")
        if kind == TEXT
        else _field(name, DOCUMENT, of=f"labels.{kind}", inside=_inside(kind))
        for name, kind in kinds.items()
    ]


def _inside(kind: str) -> list[dict[str, Any]]:
    """The fields of a label."""
    if kind == "Classifications":
        each = _field("classifications", "ListField", of="labels.Classification", inside=_inside("Classification"))
        return [{**each, "subfield": FIELDS + DOCUMENT}, *_fields({"logits": "VectorField"})]
    own = [_field("id", "ObjectIdField", db_field="_id"), _field("tags", "ListField", subfield="StringField")]
    return [*own, *_fields(LABELS[kind])]


def _fields(kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        _field(name, kind, subfield="FloatField" if kind == "HeatmapRangeField" else None)
        for name, kind in kinds.items()
    ]


def _field(
    name: str,
    kind: str,
    *,
    subfield: str | None = None,
    of: str | None = None,
    inside: Sequence[Mapping[str, Any]] = (),
    db_field: str | None = None,
    read_only: bool = False,
) -> dict[str, Any]:
    """What is said of one field."""
    return {
        "name": name,
        "ftype": FIELDS + kind,
        "embedded_doc_type": None if of is None else f"fiftyone.core.{of}",
        "subfield": None if subfield is None else FIELDS + subfield,
        "fields": list(inside),
        "db_field": db_field or name,
        "description": None,
        "info": None,
        "read_only": read_only,
    }
