import contextlib
import json
import math
import stat
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import save_file

from jumok.errors import JumokError
from jumok.tasks.running import checkpoint
from jumok.tasks.running.checkpoint import load_state, read_tensors, remove_leftovers, save_state, write_tensors

PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=5)
KEYS = st.text(max_size=5) | st.integers(-5, 5)
NESTED = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=12,
)


def same(one, other):
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        pairs = [(key, type(key)) for key in one] == [(key, type(key)) for key in other]
        return pairs and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@settings(max_examples=150, deadline=None)
@given(values=st.dictionaries(KEYS, NESTED, max_size=4))
def test_plain_values_come_back_as_they_were(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("state") / "state.safetensors"
    save_state(values, path)
    assert same(values, load_state(path))


def test_tensors_come_back_bit_for_bit_wherever_they_are(tmp_path):
    state = {
        "weights": {0: torch.randn(3, 4), "half": torch.randn(5).half(), "b": torch.tensor([True, False])},
        "list": [torch.tensor(3), (torch.tensor(2.5, dtype=torch.float64), torch.empty(0, 3))],
        "bf16": torch.randn(4, 4).bfloat16().t(),
        "part": torch.arange(10)[2:5],
        "infinite": [math.inf, -math.inf],
    }
    save_state(state, tmp_path / "s.safetensors")
    assert same(state, load_state(tmp_path / "s.safetensors"))
    save_state({"nan": math.nan}, tmp_path / "n.safetensors")
    assert math.isnan(load_state(tmp_path / "n.safetensors")["nan"])


def test_tensors_that_share_memory_are_written_each_for_itself(tmp_path):
    whole = torch.arange(6.0)
    write_tensors({"a": whole, "b": whole, "c": whole[:2]}, tmp_path / "t.safetensors", {})
    _, tensors = read_tensors(tmp_path / "t.safetensors")
    assert all(torch.equal(tensors[name], wanted) for name, wanted in (("a", whole), ("b", whole), ("c", whole[:2])))


def test_files_are_readable_for_whoever_the_folder_is(tmp_path):
    (tmp_path / "plain").touch()
    save_state({"a": torch.zeros(1)}, tmp_path / "s.safetensors")
    assert stat.S_IMODE((tmp_path / "s.safetensors").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "plain").stat().st_mode
    )


@pytest.mark.parametrize("value", [object(), {1.5: "x"}, {"a": {3}}, {"a": b"x"}, {"a": Path("x")}])
def test_what_cannot_be_kept_is_named(tmp_path, value):
    with pytest.raises(JumokError, match=r"cannot be stored|keys are str or int"):
        save_state({"part": value}, tmp_path / "s.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_cut_short_anywhere_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "s.safetensors"
    save_state({"a": torch.randn(20), "b": [1, 2]}, path)
    content = path.read_bytes()
    for length in (0, 4, 8, 50, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(JumokError, match=r"s\.safetensors is damaged"):
            load_state(path)


def test_a_flipped_header_raises_nothing_but_our_error(tmp_path):
    path = tmp_path / "s.safetensors"
    save_state({"a": torch.randn(20), "b": [1, {"x": 2}]}, path)
    content = path.read_bytes()
    for place in range(0, len(content), 3):
        changed = bytearray(content)
        changed[place] ^= 0x15
        path.write_bytes(bytes(changed))
        with contextlib.suppress(JumokError):  # any other error fails the test
            load_state(path)


@pytest.mark.parametrize(
    "structure",
    [
        "not json", "[1, 2]", "3", '{"dict": [["a", {"tensor": "gone"}]]}', '{"dict": [["a", {"os": "x"}]]}',
        '{"dict": [[["a"], 1]]}', '{"dict": 3}', '{"a": 1, "b": 2}',
        '{"dict": [["a", ' + '{"tuple": [' * 40 + "]}" * 40 + "]]}",
        "[" * 200_000,
    ],
)  # fmt: skip
def test_a_foreign_structure_is_an_error(tmp_path, structure):
    save_file({"a": torch.zeros(1)}, tmp_path / "s.safetensors", {"format": checkpoint.FORMAT, "state": structure})
    with pytest.raises(JumokError, match=r"s\.safetensors"):
        load_state(tmp_path / "s.safetensors")


def test_other_files_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    with pytest.raises(JumokError, match="not a checkpoint of this version"):
        load_state(tmp_path / "plain.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "pickled.safetensors")
    with pytest.raises(JumokError, match="damaged or something else"):
        load_state(tmp_path / "pickled.safetensors")
    with pytest.raises(JumokError, match="no such file"):
        load_state(tmp_path / "missing.safetensors")
    with pytest.raises(JumokError, match="is a folder: wanted a file"):
        load_state(tmp_path)


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    save_state({"a": torch.zeros(1000)}, tmp_path / "s.safetensors")
    monkeypatch.setattr(checkpoint, "SIZE_LIMIT", 1000)
    monkeypatch.setattr(checkpoint, "safe_open", None)
    with pytest.raises(JumokError, match="more than"):
        load_state(tmp_path / "s.safetensors")


@pytest.mark.parametrize(
    ("got", "message"),
    [
        ({"a": torch.zeros(3)}, "lacks 'b'"),
        ({"a": torch.zeros(3), "b": torch.zeros(2, 3)}, r"'b' as \(2, 3\), wanted \(3, 2\)"),
        ({"a": torch.zeros(3), "b": torch.zeros(3, 2), "c": torch.zeros(1)}, "also holds 'c'"),
    ],
)
def test_tensors_other_than_wanted_are_refused(tmp_path, got, message):
    write_tensors(got, tmp_path / "w.safetensors", {})
    with pytest.raises(JumokError, match=message):
        read_tensors(tmp_path / "w.safetensors", wanted={"a": torch.Size([3]), "b": torch.Size([3, 2])})


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "s.safetensors"
    save_state({"step": 1}, path)

    def full(tensors, place, metadata):
        place.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(JumokError, match=r"cannot write .*s\.safetensors.*No space left"):
        save_state({"step": 2}, path)
    assert load_state(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path):
    for name in (".last.0a1b2c3d.safetensors", ".tmpVi5JX9", "last.safetensors", ".hidden", "notes.txt"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"last.safetensors", ".hidden", "notes.txt"}


def test_the_header_is_json_and_holds_no_code(tmp_path):
    save_state({"a": torch.zeros(2), "b": {"c": 1}}, tmp_path / "s.safetensors")
    metadata, _ = read_tensors(tmp_path / "s.safetensors")
    assert json.loads(metadata["state"]) == {"dict": [["a", {"tensor": "/a"}], ["b", {"dict": [["c", 1]]}]]}


def test_one_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "s.safetensors"
    save_state({"a": torch.zeros(20), "b": [1, {"x": 2.5}]}, path)
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    places = [*range(end, len(content), 7), content.index(b"2.5"), content.index(b"sha256")]
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 0x01
        path.write_bytes(bytes(changed))
        with pytest.raises(JumokError, match="is damaged"):
            load_state(path)


def test_equal_tensors_make_equal_files(tmp_path):
    contents = set()
    for number in range(6):
        path = tmp_path / f"{number}.safetensors"
        write_tensors({"b": torch.ones(2), "a": torch.zeros(3)}, path, {"z": "1", "y": "한글 \x01\u2028", "x": '"'})
        contents.add(path.read_bytes())
        assert read_tensors(path)[0]["y"] == "한글 \x01\u2028"
    assert len(contents) == 1


def test_the_checkpoint_before_the_last_takes_its_place(tmp_path):
    last = tmp_path / checkpoint.CHECKPOINTS / checkpoint.LAST
    assert checkpoint.find_checkpoint(tmp_path) is None
    for step in (1, 2, 3):
        checkpoint.keep_earlier(last)
        save_state({"global_step": step}, last)
    assert checkpoint.find_checkpoint(tmp_path) == last
    held = last.read_bytes()
    last.unlink()  # a run that has a checkpoint before the last one has had a last one
    with pytest.raises(
        JumokError, match=r"is not there any more: .* checkpoint before it: jumok train --resume .* --ea"
    ):
        checkpoint.find_checkpoint(tmp_path)
    last.write_bytes(held[:-4])
    with pytest.raises(JumokError, match=r"checkpoint before it: jumok train --resume .* --earlier"):
        checkpoint.find_checkpoint(tmp_path)
    assert checkpoint.go_back(last) == 2
    assert load_state(last) == {"global_step": 2}
    with pytest.raises(JumokError, match="no earlier checkpoint"):
        checkpoint.go_back(last)


@pytest.mark.parametrize("gone", [False, True])
def test_a_file_that_is_replaced_while_it_is_read_is_read_anew(tmp_path, monkeypatch, gone):
    path, real = tmp_path / "last.safetensors", checkpoint.safe_open
    write_tensors({"a": torch.zeros(3)}, path, {"step": "1"})

    def lose(name, **options):
        monkeypatch.setattr(checkpoint, "safe_open", real)
        opened = real(name, **options)
        write_tensors({"a": torch.ones(3)}, path, {"step": "2"})
        if gone:
            path.unlink()
        return opened

    monkeypatch.setattr(checkpoint, "safe_open", lose)
    if gone:
        with pytest.raises(JumokError, match="no such file"):
            read_tensors(path)
        return
    metadata, tensors = read_tensors(path)
    assert metadata["step"] == "2"
    assert tensors["a"].tolist() == [1, 1, 1]


def test_a_checkpoint_that_was_kept_before_the_process_died_is_kept_again_without_a_copy(tmp_path):
    last = tmp_path / checkpoint.LAST
    save_state({"global_step": 1}, last)
    for _ in range(2):  # once by the process that died, and once by the one that goes on
        checkpoint.keep_earlier(last)
    assert sorted(path.name for path in tmp_path.iterdir()) == [checkpoint.EARLIER, checkpoint.LAST]
    save_state({"global_step": 2}, last)
    assert load_state(tmp_path / checkpoint.EARLIER)["global_step"] == 1
