import hashlib

import pytest

from jumok.data.images.contents import describe_contradictions, describe_duplicates, hash_file, hash_files
from jumok.errors import JumokError


def test_the_hash_is_that_of_the_content_alone(tmp_path):
    content = bytes(range(256)) * 9000  # more than a block
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(content)
    wanted = hashlib.blake2b(content, digest_size=16).hexdigest()
    seen = []
    paths = [tmp_path / "a.png", tmp_path / "b.jpg"]
    assert hash_files(paths, lambda done, total: seen.append((done, total))) == [wanted, wanted]
    assert seen == [(1, 2), (2, 2)]
    (tmp_path / "b.jpg").write_bytes(content[:-1] + b"x")
    assert hash_file(tmp_path / "b.jpg") != wanted


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(JumokError, match=r"cannot read .*none\.png: No such file"):
        hash_files([tmp_path / "none.png"])


def test_no_file_is_no_hash():
    assert hash_files([]) == []


def test_duplicates_are_told_across_parts_and_within_one():
    assert describe_duplicates({"train": ["a", "b"], "val": ["c"], "test": ["d"]}) == []
    assert describe_duplicates({"train": ["a", "b", "b", "b"], "val": ["a", "c"], "test": ["c", "b"]}) == [
        "duplicates: 1 of 2 val images are also in train, byte for byte; figures on them flatter",
        "duplicates: 1 of 2 test images are also in train, byte for byte; figures on them flatter",
        "duplicates: 1 of 2 test images are also in val, byte for byte; figures on them flatter",
        "duplicates: 2 of 4 train images are copies of another",
    ]


def test_copies_with_different_labels_are_told_in_whichever_parts():
    hashes = {"train": ["a", "b", "b", "c"], "val": ["a"], "test": ["c"]}
    labels = {"train": [(0,), (1,), (1,), (0, 1)], "val": [(1,)], "test": [()]}
    told = "copies of 2 files have different labels: only one can be right"
    assert describe_contradictions(hashes, labels, "labels") == [told]
    assert describe_contradictions(hashes, {part: [0] * len(some) for part, some in hashes.items()}, "classes") == []
