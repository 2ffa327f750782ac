import json

import pytest
from PIL import Image

from jumok.data.images.folders import scan, scan_folder
from jumok.data.images.recognition import looks_like_labels
from jumok.errors import JumokError
from jumok.tasks import recognise


def fill(root, count=20, folder="im"):
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("L", (8, 8), number).save(root / folder / f"{number}.png")
    return root / folder


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def rows(count=20, label=lambda n: "ab"[n % 2], more=lambda n: ""):
    return [f"{n}.png,{label(n)}{more(n)}" for n in range(count)]


def refused(*arguments, **options):
    with pytest.raises(JumokError) as caught:
        scan(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_table_gives_each_image_its_class(tmp_path):
    images = fill(tmp_path)
    table = write(tmp_path / "labels.csv", "image,label", *rows())
    whole = scan_folder(table, images=images)
    assert (whole.classes, len(whole), whole.root) == (("a", "b"), 20, images)
    assert {path.name: whole.classes[label] for path, label in zip(whole.paths, whole.labels, strict=True)} == {
        f"{n}.png": "ab"[n % 2] for n in range(20)
    }
    assert whole.notes == ("20 images are labelled in labels.csv",)
    assert {part: len(found) for part, found in scan(table, images=images).items()} == {
        "train": 12,
        "val": 4,
        "test": 4,
    }


@pytest.mark.parametrize("place", ["beside the images", "above them", "given alone"])
def test_the_images_are_found_from_the_table(tmp_path, place):
    images = fill(tmp_path)
    table = write((images if place == "beside the images" else tmp_path) / "labels.csv", "image,label", *rows())
    whole = scan_folder(table if place == "given alone" else table.parent)
    assert len(whole) == 20


def test_paths_of_windows_are_found(tmp_path):
    images = fill(tmp_path)
    table = write(tmp_path / "labels.csv", "image,label", *(f"{images.name}\\{row}" for row in rows()))
    assert len(scan_folder(table, images=tmp_path)) == 20
    outside = write(tmp_path / "labels.csv", "image,label", f"..\\{images.name}\\0.png,a")
    assert "no image" in refused(outside, images=images)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("names", ["image,label", "file_name,class", "Filename,Category"])
def test_usual_names_and_separators_are_known(tmp_path, separator, names):
    fill(tmp_path)
    lines = [line.replace(",", separator) for line in (names, *rows())]
    assert len(scan_folder(write(tmp_path / "labels.csv", *lines))) == 20


def test_json_lines_say_the_same_as_csv(tmp_path):
    fill(tmp_path)
    csv = write(tmp_path / "a.csv", "image,label,split", *rows(more=lambda n: ",test" if n > 15 else ",train"))
    lines = [{"image": f"{n}.png", "label": "ab"[n % 2], "split": "test" if n > 15 else "train"} for n in range(20)]
    jsonl = write(tmp_path / "a.jsonl", *map(json.dumps, lines))
    one, two = scan(csv), scan(jsonl)
    assert {part: (images.paths, images.labels) for part, images in one.items()} == {
        part: (images.paths, images.labels) for part, images in two.items()
    }


def test_parquet_says_the_same_as_csv(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    fill(tmp_path)
    table = pandas.DataFrame({"image": [f"{n}.png" for n in range(20)], "label": [n % 3 for n in range(20)]})
    table.to_parquet(tmp_path / "labels.parquet")
    csv = write(tmp_path / "labels.csv", "image,label", *rows(label=lambda n: str(n % 3)))
    one, two = scan_folder(tmp_path / "labels.parquet"), scan_folder(csv)
    assert (one.paths, one.labels, one.classes) == (two.paths, two.labels, ("0", "1", "2"))


def test_numbers_as_classes_are_in_the_order_of_their_size(tmp_path):
    fill(tmp_path)
    table = write(tmp_path / "labels.csv", "image,label", *rows(label=lambda n: str(8 + n % 3)))
    assert scan_folder(table).classes == ("8", "9", "10")


def test_the_split_of_the_table_is_kept(tmp_path):
    fill(tmp_path)
    parts = {0: "Train", 1: "valid", 2: "test", 3: "train"}
    table = write(tmp_path / "labels.csv", "image,label,split", *rows(more=lambda n: f",{parts[n // 2 % 4]}"))
    found = scan(table)
    assert {part: sorted(int(path.stem) for path in images.paths) for part, images in found.items()} == {
        "train": [0, 1, 6, 7, 8, 9, 14, 15, 16, 17],
        "val": [2, 3, 10, 11, 18, 19],
        "test": [4, 5, 12, 13],
    }


def test_tables_named_after_parts_are_those_parts(tmp_path):
    fill(tmp_path, folder="images")
    lines = rows()
    for name, some in (("train", lines[:12]), ("val", lines[12:16]), ("test", lines[16:])):
        write(tmp_path / f"{name}.csv", "image,label", *some)
    assert {part: len(images) for part, images in scan(tmp_path).items()} == {"train": 12, "val": 4, "test": 4}
    write(tmp_path / "more.csv", "image,label", *lines)
    assert "several tables of labels" in refused(tmp_path)


def test_masks_of_the_table_go_with_their_images(tmp_path):
    images = fill(tmp_path)
    (images / "m").mkdir()
    Image.new("L", (8, 8), 255).save(images / "m" / "0.png")
    table = write(images / "labels.csv", "image,label,mask", *rows(more=lambda n: ",m/0.png" if n == 0 else ","))
    whole = scan_folder(table)
    assert whole.masks == {images / "0.png": (images / "m" / "0.png",)}
    assert "1 image has a mask: measure uses them, training does not" in whole.notes
    assert len(whole) == 20


def test_groups_stay_together_and_classes_keep_their_shares(tmp_path):
    fill(tmp_path, 120)
    table = write(tmp_path / "labels.csv", "image,label,group", *rows(120, more=lambda n: f",patient {n // 4}"))
    sets = scan(table, split_by="group")
    homes = {part: set(images.groups) for part, images in sets.items()}
    assert not (homes["train"] & homes["val"] | homes["train"] & homes["test"] | homes["val"] & homes["test"])
    assert {part: len(images) for part, images in sets.items()} == {"train": 84, "val": 16, "test": 20}
    assert all(images.counts()["a"] == images.counts()["b"] for images in sets.values())
    assert homes == {part: set(images.groups) for part, images in scan(table, split_by="group").items()}
    assert homes != {part: set(images.groups) for part, images in scan(table, split_by="group", seed=1).items()}
    assert "--split-by group keeps what belongs together" in scan(table)["train"].notes[-1]
    assert "has no column 'patient'" in refused(table, split_by="patient")


def test_what_is_left_out_is_told(tmp_path):
    fill(tmp_path)
    lines = rows(18)
    lines[3] = "3.png,"
    notes = scan_folder(write(tmp_path / "labels.csv", "image,label", *lines)).notes
    assert "left out: 1 line without a label" in notes
    assert "left out: 2 images that no line names, such as 18.png" in notes


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("none.png,a", "line 22: no image none.png in"),
        ("../x.png,a", "line 22: image ../x.png lies outside"),
        ("/etc/passwd,a", "line 22: image /etc/passwd lies outside"),
        ("0.png,a", "line 22: 0.png is named before, in"),
        (",a", "line 22: no image: give its path"),
        ("1.png", "line 22: 1 cells for 2 columns"),
        ('"1.png,a', "a quote that begins in this row is never closed"),
        (f"{'x' * 5000}.png,a", "line 22: no image xxx"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    fill(tmp_path)
    assert message in refused(write(tmp_path / "labels.csv", "image,label", *rows(), line))


def test_wrong_tables_are_named(tmp_path):
    fill(tmp_path)
    assert "lacks the column 'label': got image, colour" in refused(
        write(tmp_path / "b.csv", "image,colour", "0.png,red")
    )
    assert "the columns 'red', 'round' hold 0 and 1; write one column 'label'" in refused(
        write(tmp_path / "g.csv", "image,red,round,size", "0.png,1,0,7")
    )
    assert "line 2: no image xxx" in refused(write(tmp_path / "i.csv", "image,label", f"{'x' * 300}.png,a"))
    assert "has no rows" in refused(write(tmp_path / "c.csv", "image,label"))
    assert "split 'tain': did you mean 'train'?" in refused(
        write(tmp_path / "d.csv", "image,label,split", "0.png,a,tain")
    )
    assert "only one class, 'a'" in refused(write(tmp_path / "e.csv", "image,label", "0.png,a"))
    empty = write(tmp_path / "h.csv", "image,label,split", "0.png,,test", "1.png, ,train")
    assert f"no row of {empty} has a label: fill in" in refused(empty)
    (tmp_path / "f.csv").write_bytes("image,label\n0.png,\xe9".encode("latin-1"))
    assert "is not valid UTF-8" in refused(tmp_path / "f.csv")
    (tmp_path / "g.jsonl").write_text("{\n")
    assert "line 1: not JSON" in refused(tmp_path / "g.jsonl")


def test_tables_of_labels_are_told_from_files_of_questions(tmp_path):
    labels = write(tmp_path / "labels.csv", "image,label", "0.png,a")
    asked = write(tmp_path / "asked.csv", "image,question,answer,label", "0.png,what?,a,b")
    assert looks_like_labels([labels])
    assert not looks_like_labels([asked])
    assert not looks_like_labels([labels, asked])
    assert not looks_like_labels([tmp_path / "none.csv"])
    assert recognise([labels], ["images"]).name == "classify"
    assert recognise([asked], ["images"]).name == "answer"


def several(count=60):
    """Labels of images: a in every 2nd, b in every 3rd, c in every 20th."""
    return ["|".join(name for name, step in (("a", 2), ("b", 3), ("c", 20)) if n % step == 0) for n in range(count)]


def test_several_labels_are_dealt_out_in_their_shares(tmp_path):
    fill(tmp_path, 60)
    table = write(tmp_path / "labels.csv", "image,label", *rows(60, label=several().__getitem__))
    sets = scan(table)
    assert {images.kind for images in sets.values()} == {"multi"}
    assert sum(map(len, sets.values())) == 60
    assert {part: images.counts() for part, images in sets.items()} == {
        "train": {"a": 20, "b": 14, "c": 1},
        "val": {"a": 5, "b": 3, "c": 1},
        "test": {"a": 5, "b": 3, "c": 1},
    }
    assert sets["train"].paths == scan(table)["train"].paths
    assert sets["train"].paths != scan(table, seed=1)["train"].paths
    grouped = write(tmp_path / "g.csv", "image,label,group", *rows(60, several().__getitem__, lambda n: f",{n // 3}"))
    homes = [set(images.groups) for images in scan(grouped, split_by="group").values()]
    assert sum(map(len, homes)) == 20 == len(set.union(*homes))


def test_numbers_are_dealt_out_over_their_whole_range(tmp_path):
    fill(tmp_path, 60)
    sets = scan(write(tmp_path / "labels.csv", "image,label", *rows(60, label=lambda n: f"{n / 7:.3f}")))
    assert {part: len(images) for part, images in sets.items()} == {"train": 42, "val": 9, "test": 9}
    for images in sets.values():
        assert images.kind == "number"
        assert min(images.labels) < 3 < 6 < max(images.labels)
        assert images.labels == tuple(sorted(images.labels))


@pytest.mark.parametrize("labels", [several(20), [n / 8 for n in range(20)]], ids=["several", "numbers"])
def test_json_and_parquet_say_several_labels_and_numbers_as_csv_does(tmp_path, labels):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    fill(tmp_path)
    csv = write(tmp_path / "a.csv", "image,label", *rows(label=lambda n: str(labels[n])))
    cells = [[each for each in label.split("|") if each] if isinstance(label, str) else label for label in labels]
    lines = [{"image": f"{n}.png", "label": cell} for n, cell in enumerate(cells)]
    jsonl = write(tmp_path / "a.jsonl", *map(json.dumps, lines))
    pandas.DataFrame(lines).to_parquet(tmp_path / "a.parquet")
    found = [scan_folder(table) for table in (csv, jsonl, tmp_path / "a.parquet")]
    assert found[0].paths == found[1].paths == found[2].paths
    assert found[0].labels == found[1].labels == found[2].labels


def test_labels_that_teach_nothing_are_refused(tmp_path):
    fill(tmp_path)
    same = write(tmp_path / "a.csv", "image,label", *rows(label=lambda n: "0.25"))
    assert "have the same number, 0.25: wanted at least two different" in refused(same)
    assert "have the same labels, a|b" in refused(
        write(tmp_path / "b.csv", "image,label", *rows(label=lambda n: "a|b"))
    )
    assert scan_folder(same).labels == (0.25,) * 20
    (tmp_path / "a.csv").unlink()
    (tmp_path / "b.csv").unlink()
    for kind in ("multi", "number"):
        assert "gives each image one class: wanted a table of image,label" in refused(tmp_path, labels_are=kind)


@pytest.mark.parametrize("label", [{"name": "a"}, [["a"]], ["a", None], [{"name": "a"}]])
def test_what_is_no_label_is_refused_where_it_stands(tmp_path, label):
    lines = [json.dumps({"image": f"{n}.png", "label": "ab"[n % 2], "camera": {"iso": 100}}) for n in range(20)]
    assert scan_folder(write(tmp_path / "fine.jsonl", *lines), images=fill(tmp_path)).classes == ("a", "b")
    lines[3] = json.dumps({"image": "3.png", "label": label})
    said = refused(write(tmp_path / "odd.jsonl", *lines), images=tmp_path / "im")
    assert said.endswith(
        f"odd.jsonl, line 4: 'label' is {json.dumps(label)}: wanted a text, a number, or a list of such"
    )


def test_of_two_labels_under_one_key_none_is_taken(tmp_path):
    lines = [f'{{"image": "{n}.png", "label": "a", "label": "b"}}' for n in range(20)]
    assert "line 1: not JSON (the key 'label' stands twice in it)" in refused(
        write(tmp_path / "l.jsonl", *lines), images=fill(tmp_path)
    )


def test_json_that_is_no_table_is_called_a_file_and_no_folder(tmp_path):
    table = write(tmp_path / "l.json", json.dumps([{"image": "0.png", "label": "a"}]))
    for images in (None, fill(tmp_path)):
        said = refused(table, images=images)
        assert said.endswith(
            "l.json is a file: write its entries as JSON lines, each an object with image and label, and call it .jsonl"
        )
    table = write(tmp_path / "l.xlsx", "PK")
    assert refused(table, images=tmp_path / "im").endswith(
        "l.xlsx is a file: wanted a folder of images, or a table of image,label (.csv, .tsv, .jsonl, .parquet)"
    )


def test_an_image_of_no_group_is_dealt_out_by_itself_and_told(tmp_path):
    table = write(
        fill(tmp_path, 60) / "l.csv", "image,label,group", *rows(60, more=lambda n: f",{n // 4 if n < 20 else ''}")
    )
    sets = scan(table, split_by="group")
    assert min(len(images) for images in sets.values()) >= 8, "those of no group are no group of 40"
    assert (
        "40 images have nothing in the column 'group': each is dealt out by itself; fill it in for those that belong "
        "together" in sets["train"].notes
    )


def test_groups_that_a_table_tears_apart_are_told(tmp_path):
    part = {0: "train", 1: "train", 2: "val", 3: "test"}
    table = write(
        fill(tmp_path, 24) / "l.csv", "image,label,split,patient",
        *rows(24, more=lambda n: f",{part[n % 4]},p{n // 4 if n < 12 else n}"),
    )  # fmt: skip
    assert scan(table, split_by="patient")["train"].notes[-1] == (
        "3 of 15 groups lie in several parts, such as 'p0' in train and val and test, as the table says: figures on "
        "them flatter; without the column split they are dealt out whole"
    )
    assert len(scan(table)["train"].notes) == 2, "nobody asked for groups"


def test_numbers_with_a_decimal_comma_are_no_classes_in_silence(tmp_path):
    table = write(fill(tmp_path) / "l.csv", "image;label", *(f"{n}.png;{n},5" for n in range(20)))
    assert (
        "line 2: the label '0,5' may be a number with a decimal comma: write it as 0.5 to learn numbers, or add "
        in (refused(table))
    )
    few = write(tmp_path / "im" / "l.csv", "image;label", *(f"{n}.png;{n % 2},5" for n in range(20)))
    assert scan(few, labels_are="class")["train"].classes == ("0,5", "1,5")


def test_the_ways_out_of_too_few_images_exist(tmp_path):
    table = write(fill(tmp_path) / "l.csv", "image,label", *(f"{n}.png,c{n}" for n in range(20)))
    assert refused(table).endswith(
        "has too few images (20 of 20 classes) to give val any: add some, or say yourself which images are for val, by "
        "a folder val/ or a column split of their table"
    )


def test_a_name_without_its_ending_is_told_what_is_there(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "001.png").write_bytes(b"")
    (tmp_path / "labels.csv").write_text("image,label\na/001,dent\n")
    with pytest.raises(JumokError, match=r"no image a/001 in .* \(there is 001.png\): correct the name"):
        scan(tmp_path / "labels.csv", seed=0)


def test_columns_that_are_not_read_are_told(tmp_path):
    table = write(
        fill(tmp_path) / "l.csv", "image,label,class,fold", *(f"{n}.png,{'ab'[n % 2]},c,{n % 5}" for n in range(20))
    )
    assert "2 columns are not read: class, fold" in scan(table)["train"].notes


def test_lists_as_programs_write_them_are_several_labels(tmp_path):
    lists = ("\"['a', 'b']\"", '"[""b""]"', "[]")
    table = write(fill(tmp_path) / "l.csv", "image,label", *(f"{n}.png,{lists[n % 3]}" for n in range(20)))
    found = scan(table)["train"]
    assert (found.kind, found.classes) == ("multi", ("a", "b"))
    assert set(found.labels) == {(0, 1), (1,), ()}


def test_an_image_in_other_case_and_a_mask_elsewhere_are_told_a_way_out(tmp_path):
    folder = fill(tmp_path)
    assert "no image 0.PNG in" in (said := refused(write(folder / "l.csv", "image,label", "0.PNG,a", "1.png,b")))
    assert "(there is 0.png)" in said
    outside = refused(write(folder / "l.csv", "image,label,mask", "0.png,a,../m/0.png", "1.png,b,"))
    assert outside.endswith("or leave the column out and give the folder to jumok measure --masks")
