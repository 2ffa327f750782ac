"""The hidden `._NAME` that macOS leaves beside each file of a shared drive is taken for no data."""

import pytest

from jumok.tasks import recognise

APPLE_DOUBLE = b"\0\x05\x16\x07\0\x02\0\0Mac OS X        "
TABLES = {
    "label": ("train.csv", "text,label\ngood,yes\nbad,no\n"),
    "classify": ("train.csv", "image,label\na.png,yes\nb.png,no\n"),
    "answer": ("train.csv", "image,question,answer\na.png,what?,a dog\n"),
    "translate": ("train.tsv", "Hund\tdog\nKatze\tcat\n"),
}


def write_beside(path, endings):
    for ending in endings:
        path.with_name(f"._{path.stem}{ending}").write_bytes(APPLE_DOUBLE)


@pytest.mark.parametrize("task", TABLES)
def test_what_a_folder_is_for_is_not_told_by_hidden_files(tmp_path, task):
    name, content = TABLES[task]
    (tmp_path / name).write_text(content)
    write_beside(tmp_path / name, (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".tar"))
    assert recognise([tmp_path]).name == task
