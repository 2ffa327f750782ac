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
        ('"1.png,a', "not a proper table"),
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
    assert "has no rows" in refused(write(tmp_path / "c.csv", "image,label"))
    assert "split 'tain': did you mean 'train'?" in refused(
        write(tmp_path / "d.csv", "image,label,split", "0.png,a,tain")
    )
    assert "only one class, 'a'" in refused(write(tmp_path / "e.csv", "image,label", "0.png,a"))
    (tmp_path / "f.csv").write_bytes("image,label\n0.png,\xe9".encode("latin-1"))
    assert "is not UTF-8" in refused(tmp_path / "f.csv")
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


def test_several_labels_and_measurements_are_refused_and_never_taken_for_classes(tmp_path):
    fill(tmp_path)
    several = write(tmp_path / "a.csv", "image,label", "0.png,dent", "1.png,dent|scratch")
    assert "line 3: 'dent|scratch' names several classes, and a classifier learns one" in refused(several)
    (tmp_path / "b.jsonl").write_text('{"image": "0.png", "label": ["dent", "scratch"]}\n')
    assert "line 1: 'dent|scratch' names several classes" in refused(tmp_path / "b.jsonl")
    measured = write(tmp_path / "c.csv", "image,label", "0.png,0.25", "1.png,3")
    assert "the labels are measurements such as 0.25" in refused(measured)
    assert scan_folder(write(tmp_path / "d.csv", "image,label", "0.png,v1.5", "1.png,2.5")).classes == ("2.5", "v1.5")
