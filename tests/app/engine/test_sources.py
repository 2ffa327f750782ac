"""Where inputs lie: each is found once, in an order that never changes, and read from the shard that it is in."""

import io
import json
import tarfile

import pyarrow as pa
import pytest
from engine_models import make_pixels, to_png, write_images
from pyarrow import parquet

from jumok.app.engine.addresses import restore_address
from jumok.app.engine.shards import Paths
from jumok.app.engine.sources import open_source
from jumok.errors import JumokError

PNGS = [to_png(pixels) for pixels in make_pixels(7)]


def read_all(source):
    """Names and images of all inputs, shard by shard; every shard knows where it begins and how many inputs it has."""
    found = []
    for number in range(len(source)):
        shard = source.shard(number)
        assert shard.begin == len(found)
        items = list(shard.items())
        assert len(items) == shard.count
        found += [(item.name, item.content) for item in items]
    assert len(found) == source.total
    return found


def open_quietly(name, size=3, column=None):
    return open_source(str(name), size, column, lambda _: None)


def write_parquet(path, columns, **options):
    parquet.write_table(pa.table(columns), path, **options)
    return path


def write_tar(path, members, cut=0):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in members:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    content = file.getvalue()
    path.write_bytes(content[: len(content) - cut])
    return path


def test_hidden_files_beside_shards_are_no_shards(tmp_path):
    write_tar(tmp_path / "a.tar", [("1.png", PNGS[0])])
    (tmp_path / "._a.tar").write_bytes(b"\0\x05\x16\x07")
    assert [name for name, _ in read_all(open_quietly(tmp_path))] == [f"{tmp_path}/a.tar/1.png"]
    assert len(read_all(open_quietly(f"file://{tmp_path}"))) == 1


# -- files of one image each --------------------------------------------------------------------


def test_a_folder_is_what_look_takes_it_for(tmp_path):
    folder = write_images(tmp_path / "photos", 7)
    write_images(folder / "more", 2, seed=1)
    (folder / "notes.txt").write_text("no image")
    told = []
    source = open_source(str(folder), 4, None, told.append)
    assert [image for _, image in read_all(source)] == [
        *(str(folder / f"{number:03}.png") for number in range(7)),
        *(str(folder / "more" / f"{number:03}.png") for number in range(2)),
    ]
    assert len(source) == 3
    assert "1 file that is not images" in told[0] or "notes" in told[0] or ".txt" in told[0]


def test_a_pattern_and_a_list_of_paths(tmp_path):
    folder = write_images(tmp_path / "photos", 5)
    by_pattern = [name for name, _ in read_all(open_quietly(folder / "00[0-3].png"))]
    assert by_pattern == [str(folder / f"00{number}.png") for number in range(4)]
    (tmp_path / "list.txt").write_text(f"{by_pattern[2]}\n\n{by_pattern[0]}\n{by_pattern[2]}\nnowhere.png\n")
    listed = [name for name, _ in read_all(open_quietly(tmp_path / "list.txt"))]
    assert listed == [by_pattern[2], by_pattern[0], by_pattern[2], "nowhere.png"]


def test_names_of_old_archives_survive_the_compact_list():
    names = ["plain.png", "caf\udce9.png", "한글.png", "two\nlines.png"]
    paths = Paths(names, 3)
    assert [name for number in range(len(paths)) for name in paths.shard(number).paths] == names
    assert paths.digest != Paths(reversed(names), 3).digest


def test_a_million_names_take_about_as_many_bytes_as_they_are_long():
    source = Paths((f"photos/2026/11/{number:09}.jpg" for number in range(1_000_000)), 1024)
    assert source.total == 1_000_000
    assert len(source._names) + 8 * len(source._begins) < 30 * 1_000_000
    assert source.shard(976).paths[-1] == "photos/2026/11/000999999.jpg"


# -- Parquet ------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", [1, 2, 5, 100])
def test_rows_of_parquet_files_of_any_row_groups(group, tmp_path):
    names = [f"a{number}.png" for number in range(7)]
    write_parquet(tmp_path / "1.parquet", {"bytes": PNGS, "path": names}, row_group_size=group)
    write_parquet(tmp_path / "2.parquet", {"bytes": PNGS[:2], "path": ["b0.png", "b1.png"]})
    found = read_all(open_quietly(tmp_path))
    assert found == [*zip(names, PNGS, strict=True), ("b0.png", PNGS[0]), ("b1.png", PNGS[1])]


def test_rows_without_a_name_are_numbered(tmp_path):
    path = write_parquet(tmp_path / "1.parquet", {"picture": [*PNGS[:3], None]})
    found = read_all(open_quietly(path, column="picture"))
    assert [name for name, _ in found] == [f"{path}#{number}" for number in range(4)]
    assert isinstance(found[3][1], JumokError)


def test_paths_and_the_images_of_hugging_face_in_parquet(tmp_path):
    path = write_parquet(tmp_path / "1.parquet", {"path": ["x.png", "y.png"], "label": [1, 2]})
    assert read_all(open_quietly(path)) == [("x.png", "x.png"), ("y.png", "y.png")]
    wrapped = write_parquet(tmp_path / "2.parquet", {"image": [{"bytes": PNGS[0], "path": "z.png"}]})
    assert read_all(open_quietly(wrapped)) == [("z.png", {"bytes": PNGS[0], "path": "z.png"})]


def test_a_parquet_file_that_is_damaged_inside_costs_the_rows_that_cannot_be_read(tmp_path):
    path = write_parquet(tmp_path / "1.parquet", {"bytes": PNGS}, row_group_size=2, compression="none")
    content = bytearray(path.read_bytes())
    place = content.find(PNGS[4]) - 20  # the head of the third group
    content[place : place + 12] = b"\xff" * 12
    path.write_bytes(content)
    found = read_all(open_quietly(path))
    bad = [number for number, (_, image) in enumerate(found) if isinstance(image, JumokError)]
    assert bad == [4, 5]
    assert all(
        image == png for number, ((_, image), png) in enumerate(zip(found, PNGS, strict=True)) if number not in bad
    )


# -- tar ----------------------------------------------------------------------------------------


def test_images_of_tar_files(tmp_path):
    members = [member for n, png in enumerate(PNGS) for member in ((f"{n}.png", png), (f"{n}.json", b"{}"))]
    one, two = write_tar(tmp_path / "1.tar", members), write_tar(tmp_path / "2.tar", members[:4])
    found = read_all(open_quietly(tmp_path / "*.tar"))
    wanted = [(f"{one}/{n}.png", png) for n, png in enumerate(PNGS)]
    assert found == [*wanted, (f"{two}/0.png", PNGS[0]), (f"{two}/1.png", PNGS[1])]


@pytest.mark.parametrize("cut", [10240, 10240 + 700, 10240 + 2000])
def test_a_tar_file_that_ends_too_early_costs_what_is_missing(cut, tmp_path):
    path = write_tar(tmp_path / "1.tar", [(f"{n}.png", png) for n, png in enumerate(PNGS)], cut=cut)
    found = read_all(open_quietly(path))
    good = [image for _, image in found if not isinstance(image, JumokError)]
    bad = [str(image) for _, image in found if isinstance(image, JumokError)]
    assert good == PNGS[: len(good)]
    assert len(good) < len(PNGS)
    assert any("ends too early" in why or "cut off" in why or "cannot read" in why for why in bad)


# -- elsewhere ----------------------------------------------------------------------------------


def test_addresses_are_listed_and_read_by_fsspec():
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    for number, png in enumerate(PNGS):
        system.pipe(f"/photos/{number}.png", png)
    system.pipe("/photos/list.json", json.dumps([]).encode())
    for name in ("memory://photos", "memory://photos/*.png"):
        found = read_all(open_quietly(name))
        assert [image for _, image in found] == PNGS
        assert found[0][0] == "memory:///photos/0.png"
    file = io.BytesIO()
    parquet.write_table(pa.table({"bytes": PNGS}), file)
    system.pipe("/rows/1.parquet", file.getvalue())
    assert [image for _, image in read_all(open_quietly("memory://rows/1.parquet"))] == PNGS


def test_an_address_survives_being_a_path():
    from pathlib import Path

    for name in ("s3://bucket/a/b.parquet", "memory://photos", "photos/a", "/photos", "C:/photos"):
        assert restore_address(Path(name)) == name


# -- what is no source --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "column", "said"),
    [
        (lambda folder: folder / "nowhere", None, "nothing is at"),
        (lambda folder: folder, None, "no image in"),
        (lambda folder: write_parquet(folder / "a.parquet", {"x": PNGS}), None, "none is called image, bytes, path"),
        (lambda folder: write_parquet(folder / "a.parquet", {"x": PNGS}), "y", "no column 'y': it has x"),
        (lambda folder: write_parquet(folder / "a.parquet", {"x": [1, 2]}), "x", "holds int64, wanted bytes"),
        (lambda folder: write_parquet(folder / "a.parquet", {"bytes": pa.array([], pa.binary())}), None, "no row in"),
        (lambda folder: write_images(folder / "photos", 1), "x", "no use for --column x"),
        (lambda folder: write_tar(folder / "a.tar", [("a.json", b"{}")]), None, "no image in"),
        (lambda folder: _write(folder / "a.tar", b"no tar file" * 100), None, "damaged or not a tar file"),
        (lambda folder: _write(folder / "a.parquet", b"no"), None, "damaged or not a Parquet file"),
        (lambda folder: _write(folder / "a.txt", b"\n"), None, "no path in"),
        (lambda folder: _write(folder / "a.txt", b"a\0b\n"), None, "line 1: a zero byte"),
        (lambda folder: "nosuchsystem://a/b", None, "cannot reach nosuchsystem://a/b"),
        (lambda folder: "memory://nowhere", None, "nothing is at memory://nowhere"),
    ],
)
def test_what_is_no_source_is_said_in_one_line(tmp_path, make, column, said):
    with pytest.raises(JumokError) as caught:
        open_quietly(make(tmp_path), column=column)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_of_several_kinds_are_refused(tmp_path):
    write_tar(tmp_path / "a.tar", [("a.png", PNGS[0])])
    write_parquet(tmp_path / "a.parquet", {"bytes": PNGS})
    with pytest.raises(JumokError, match="several kinds"):
        open_quietly(tmp_path / "a.*")


def _write(path, content):
    path.write_bytes(content)
    return path


# -- labels -------------------------------------------------------------------------------------


def read_labels(source):
    shards = [source.shard(number) for number in range(len(source))]
    assert {shard.labelled for shard in shards} == {any(item.label for shard in shards for item in shard.items())}
    return [item.label for shard in shards for item in shard.items()]


def test_class_folders_say_what_is_true_of_their_images(tmp_path):
    for place in ("train/cat/deep", "train/dog", "val/dog"):
        write_images(tmp_path / "parts" / place, 2)
    source = open_quietly(tmp_path / "parts")
    assert read_labels(source) == ["cat", "cat", "dog", "dog", "dog", "dog"]
    assert source.labels == {"cat", "dog"}
    write_images(tmp_path / "flat", 2)
    source = open_quietly(tmp_path / "flat")
    assert read_labels(source) == [None, None]
    assert source.labels == set()


def test_a_column_of_labels_in_parquet(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"image": PNGS[:3], "label": ["cat", None, "dog"]}), tmp_path / "texts.parquet")
    assert read_labels(open_quietly(tmp_path / "texts.parquet")) == ["cat", None, "dog"]
    numbers = pa.table({"image": PNGS[:3], "label": [1, 0, -1]})
    parquet.write_table(numbers, tmp_path / "numbers.parquet")
    assert read_labels(open_quietly(tmp_path / "numbers.parquet")) == [None] * 3
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    named = numbers.replace_schema_metadata({b"huggingface": json.dumps(features).encode()})
    parquet.write_table(named, tmp_path / "named.parquet")
    source = open_quietly(tmp_path / "named.parquet")
    assert read_labels(source) == ["dog", "cat", None]
    assert source.labels == {"cat", "dog"}
