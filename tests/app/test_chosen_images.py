"""Which images eval and measure judge: the run's own test part wherever it lies, and never trained ones unsaid."""

import json
import shutil

import numpy as np
import pytest
from app_helpers import QUICK
from PIL import Image, ImageDraw

from jumok.app.classify.chosen import Judge, choose_images, match_classes
from jumok.app.cli import main
from jumok.data.images.folders import scan, scan_folder
from jumok.errors import JumokError
from jumok.tasks.classify.hashing import hash_parts
from jumok.tasks.classify.settings import ImageData
from jumok.tasks.running.trained_on import TRAINED_ON, TrainedOn, read_trained_on


def write_noise(folder, classes=("blue", "red"), numbers=range(20), seed=0):
    """Pictures of noise, each of its own."""
    chance = np.random.default_rng(seed)
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            pixels = chance.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03}.png")
    return folder


@pytest.fixture
def noise(tmp_path):
    return write_noise(tmp_path / "noise")


@pytest.fixture
def judge(noise):
    return Judge(TrainedOn.of_hashes(hash_parts(scan(noise, seed=3))), None, 3)


def parts_of(noise):
    return {part: {path.read_bytes() for path in images.paths} for part, images in scan(noise, seed=3).items()}


def contents(chosen):
    return {path.read_bytes() for path in chosen.images.paths}


def test_the_own_test_part_is_found_wherever_the_folder_lies(noise, judge, tmp_path):
    parts = parts_of(noise)
    noise.rename(tmp_path / "archive")
    for split, wanted in (("auto", "test"), ("test", "test"), ("val", "val"), ("train", "train")):
        chosen = choose_images(judge, tmp_path / "archive", split)
        assert (chosen.part, contents(chosen)) == (wanted, parts[wanted])
    assert choose_images(judge, tmp_path / "archive", "auto").remarks == ()


def test_renamed_and_regrouped_files_are_known_too(noise, judge, tmp_path):
    parts = parts_of(noise)
    for number, path in enumerate(sorted(noise.rglob("*.png"))):
        place = tmp_path / "new" / path.parent.name / "deep"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / f"x{number}.png")
    assert contents(choose_images(judge, tmp_path / "new", "auto")) == parts["test"]


def test_added_images_do_not_move_the_test_part_and_are_told(noise, judge):
    parts = parts_of(noise)
    write_noise(noise, numbers=range(50, 70), seed=9)
    chosen = choose_images(judge, noise, "auto")
    assert contents(chosen) == parts["test"]
    assert chosen.remarks == (
        "40 images have come since the run was trained: not judged; "
        "--split all --unseen judges all that it was not trained on",
    )
    unseen = choose_images(judge, noise, "all", unseen=True)
    assert len(unseen.images) == 40 + len(parts["test"])
    assert not contents(unseen) & (parts["train"] | parts["val"])
    assert unseen.seen == {"train": 0, "val": 0, "before": 0, "test": len(parts["test"])}


def test_images_that_were_trained_on_are_counted(noise, judge):
    parts = parts_of(noise)
    chosen = choose_images(judge, noise, "all")
    train, val = len(parts["train"]), len(parts["val"])
    assert (train, val, chosen.seen) == (28, 6, {"train": 28, "val": 6, "before": 0, "test": 6})
    assert chosen.to_dict() == {"split": "all", "seen": {"trained_on": 28, "validated_on": 6}}
    assert chosen.remarks == (
        "28 images were trained on and 6 chose the epoch (validation), of 40: figures on them flatter; "
        "--unseen leaves them out",
    )


def test_images_that_the_first_weights_were_trained_on_are_told_and_left_out(noise, tmp_path):
    first, own = (TrainedOn.of_hashes(hash_parts(scan(noise, seed=seed))) for seed in (7, 3))
    first = first.after(TrainedOn({"train": ("x" * 32,), "val": (), "test": ()}))
    both = own.after(first)
    known = {"val": {*first.hashes["train"]}, "test": {*first.hashes["train"], *first.hashes["val"]}}
    counts = {part: len(some & set(own.hashes[part])) for part, some in known.items()}
    assert 0 < counts["test"] < 6
    assert own.describe_first(first, "images") == [
        f"the weights that this run begins with were trained on {count} of 6 {part} images: figures on them flatter"
        for part, count in counts.items()
        if count
    ]
    assert "x" * 32 in both.before
    chosen = choose_images(Judge(both, None, 3), noise, "auto")
    assert chosen.seen == {"train": 0, "val": 0, "before": counts["test"], "test": 6 - counts["test"]}
    assert chosen.to_dict()["seen"] == {"trained_on": counts["test"], "validated_on": 0}
    assert chosen.remarks == (
        f"{counts['test']} images were trained on before (--init), of 6: figures on them flatter; "
        "--unseen leaves them out",
    )
    assert len(choose_images(Judge(both, None, 3), noise, "auto", unseen=True).images) == 6 - counts["test"]


def test_a_record_keeps_what_was_seen_before(tmp_path):
    record = TrainedOn({"train": ("a" * 32,), "val": ("b" * 32,), "test": ("c" * 32,)}, before=("c" * 32, "d" * 32))
    record.write(tmp_path)
    assert read_trained_on(tmp_path) == record


def test_a_missing_test_image_is_told(noise, judge):
    scan(noise, seed=3)["test"].paths[0].unlink()
    chosen = choose_images(judge, noise, "auto")
    assert len(chosen.images) == 5
    assert chosen.remarks == ("1 of the 6 test images of the run are not there any more",)


def test_other_images_are_all_judged(judge, tmp_path):
    chosen = choose_images(judge, write_noise(tmp_path / "other", seed=5), "auto")
    assert (chosen.part, len(chosen.images), chosen.remarks) == ("all", 40, ())


def test_a_few_known_images_among_others_do_not_make_the_folder_the_runs_own(noise, judge, tmp_path):
    other = write_noise(tmp_path / "other", seed=5)
    for part in ("train", "test"):
        path = scan(noise, seed=3)[part].paths[0]
        shutil.copy(path, other / path.parent.name / f"{part}.png")
    chosen = choose_images(judge, other, "auto")
    assert (chosen.part, len(chosen.images)) == ("all", 42)
    assert chosen.remarks[0].startswith("1 image was trained on, of 42")
    assert len(choose_images(judge, other, "auto", unseen=True).images) == 41


def test_a_ready_test_part_is_taken_as_it_is_now(noise, judge, tmp_path):
    parts = scan(noise, seed=3)
    for part, images in parts.items():
        for path in images.paths:
            place = tmp_path / "ready" / part / path.parent.name
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    write_noise(tmp_path / "ready" / "test", numbers=range(90, 93), seed=7)
    chosen = choose_images(judge, tmp_path / "ready", "auto")
    assert (chosen.part, len(chosen.images), chosen.remarks) == ("test", 12, ())


def test_a_copy_of_a_training_image_in_the_test_part_is_told(noise, tmp_path):
    for part in ("train", "test"):
        shutil.copytree(noise, tmp_path / "parts" / part)
    judge = Judge(TrainedOn.of_hashes(hash_parts(scan(tmp_path / "parts"))))
    chosen = choose_images(judge, tmp_path / "parts", "auto")
    assert chosen.seen is not None
    assert chosen.seen["train"] + chosen.seen["val"] == 40
    with pytest.raises(JumokError, match="all 40 images were trained or validated on"):
        choose_images(judge, tmp_path / "parts", "auto", unseen=True)


def test_unseen_needs_a_record(noise):
    with pytest.raises(JumokError, match="--unseen needs a run that records"):
        choose_images(Judge(), noise, "all", unseen=True)


def test_classes_are_matched_by_name(noise):
    images = scan_folder(noise)
    matched = match_classes(images, ("blue", "green", "red"), noise)
    assert set(zip((path.parent.name for path in matched.paths), matched.labels, strict=True)) == {
        ("blue", 0),
        ("red", 2),
    }
    with pytest.raises(JumokError, match="2 classes: blue, red, but the model has 2 classes: blue, green and no 'red'"):
        match_classes(images, ("blue", "green"), noise)


# -- the record ---------------------------------------------------------------------------------


def test_the_record_is_read_as_it_was_written(noise, tmp_path):
    record = TrainedOn.of_hashes(hash_parts(scan(noise, seed=3)))
    record.write(tmp_path / "run")
    assert read_trained_on(tmp_path / "run") == record
    lines = (tmp_path / "run" / TRAINED_ON).read_text().splitlines()
    assert lines[0] == "jumok-trained-on/1 blake2b-128"
    assert len(lines) == 41
    assert read_trained_on(tmp_path) is None


@pytest.mark.parametrize("text", ["", "something else\n", "jumok-trained-on/1 blake2b-128\ntrain xyz\n", "\xff"])
def test_a_damaged_record_is_one_line(tmp_path, text):
    (tmp_path / TRAINED_ON).write_bytes(text.encode("latin-1"))
    with pytest.raises(JumokError, match=r"trained_on\.txt (is damaged|cannot be read)"):
        read_trained_on(tmp_path)


# -- the commands -------------------------------------------------------------------------------


def write_marked(folder, masks=True):
    """Coloured squares on noise, with masks beside them."""
    chance = np.random.default_rng(0)
    for name, colour in (("blue", (0, 0, 250)), ("red", (250, 0, 0))):
        (folder / name).mkdir(parents=True)
        for number in range(16):
            image = Image.fromarray(chance.integers(0, 60, (16, 16, 3), dtype=np.uint8))
            mask, (x, y) = Image.new("L", (16, 16)), chance.integers(1, 9, 2).tolist()
            ImageDraw.Draw(image).rectangle((x, y, x + 5, y + 5), fill=colour)
            ImageDraw.Draw(mask).rectangle((x, y, x + 5, y + 5), fill=255)
            image.save(folder / name / f"{number:03}.jpg", quality=95)
            mask.save(folder / name / f"{number:03}.png")
    return folder


def test_masks_beside_images_are_told_by_train_and_used_by_measure(jumok, tmp_path):
    folder, run = write_marked(tmp_path / "parts"), tmp_path / "run"
    said = jumok("train", folder, "--out", run, *QUICK)
    assert said.status == 0
    assert "32 masks lie beside the images (x.png to x.jpg): measure uses them, training does not" in said.out
    assert "24 training and 4 validation images" in said.out
    folder.rename(tmp_path / "moved")
    said = jumok("measure", run, tmp_path / "moved", "--out", tmp_path / "m", "--method", "rollout")
    assert said.status == 0, said.err
    report = json.loads((tmp_path / "m" / "measure.json").read_text())
    assert (report["images"], report["split"], report["masks"]) == (4, "test", "beside the images")
    assert report["seen"] == {"trained_on": 0, "validated_on": 0}


def test_masks_that_may_be_inverted_are_told(jumok, tmp_path):
    folder = write_marked(tmp_path / "parts")
    words = ("measure", folder, "--method", "frequency-tuned", "--out", tmp_path / "m")
    assert "invert them" not in jumok(*words).out
    for path in folder.rglob("*.png"):
        Image.eval(Image.open(path), lambda value: 255 - value).save(path)
    said = jumok(*words)
    assert (
        "remark: the masks mark 86% of an image: what is neither black nor transparent counts as marked; " in said.out
    )


def test_a_table_trains_and_is_judged_on_its_own_test_part(jumok, tmp_path):
    folder, run = write_noise(tmp_path / "all", classes=("im",), numbers=range(40)), tmp_path / "run"
    lines = ["image,label", *(f"{number:03}.png,{'ab'[number % 2]}" for number in range(40))]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    words = ("--images", folder / "im")
    said = jumok("train", tmp_path / "labels.csv", *words, "--out", run, *QUICK)
    assert said.status == 0, said.err
    assert "40 images are labelled in labels.csv" in said.out
    said = jumok("eval", run, tmp_path / "labels.csv", "--out", tmp_path / "e")
    assert said.status == 0, said.err
    report = json.loads((tmp_path / "e" / "eval.json").read_text())
    assert (report["images"], report["split"], report["classes"]) == (6, "test", ["a", "b"])
    assert report["seen"] == {"trained_on": 0, "validated_on": 0}
    folder.rename(tmp_path / "elsewhere")
    said = jumok("eval", run, tmp_path / "labels.csv", "--images", tmp_path / "elsewhere/im", "--out", tmp_path / "f")
    assert json.loads((tmp_path / "f" / "eval.json").read_text())["confusion"] == report["confusion"]


def test_eval_says_what_was_trained_on_and_leaves_it_out_when_asked(jumok, trained, coloured, tmp_path):
    said = jumok("eval", trained, coloured, "--split", "all", "--out", tmp_path / "a")
    assert "36 images were trained on and 6 chose the epoch (validation), of 48" in said.out
    said = jumok("eval", trained, coloured, "--split", "all", "--unseen", "--out", tmp_path / "b")
    assert said.status == 0
    assert "left out: 36 images were trained on and 6 chose the epoch (validation), of 48" in said.out
    assert json.loads((tmp_path / "b" / "eval.json").read_text())["images"] == 6


def test_a_resumed_run_whose_files_hold_other_images_is_refused(jumok, coloured, tmp_path):
    folder, run = tmp_path / "copy", tmp_path / "run"
    shutil.copytree(coloured, folder)
    with pytest.raises(SystemExit):
        main(["train", str(folder), "--out", str(run), *QUICK])
    for path in folder.rglob("*.png"):
        Image.new("RGB", (16, 16), (200, 10, 10)).save(path)
    said = jumok("train", "--resume", run)
    assert said.status == 2
    assert "files of the train and val part in" in said.err


def test_a_folder_of_test_images_alone_is_judged_as_it_is(noise, judge, tmp_path):
    other = write_noise(tmp_path / "new" / "Test", numbers=range(5), seed=9)
    for split in ("auto", "test"):
        chosen = choose_images(judge, other.parent, split)
        assert (chosen.part, len(chosen.images)) == ("test", 10)
    assert len(choose_images(Judge(), other.parent, "auto").images) == 10
    with pytest.raises(JumokError, match=r"holds no train part, only test: choose --split test"):
        choose_images(judge, other.parent, "train")


def test_data_that_has_moved_is_asked_for_by_the_way_to_give_it(jumok, coloured, tmp_path):
    folder, run = tmp_path / "copy", tmp_path / "my run"
    shutil.copytree(coloured, folder)
    said = jumok("train", folder, "--out", run, *QUICK)
    assert f"next: jumok eval '{run}' {folder}\n" in said.out
    folder.rename(tmp_path / "moved")
    said = jumok("eval", run)
    assert said.status == 2
    assert f"the data of {run} is not at {folder} any more" in said.err
    assert said.err.endswith(f"give where it lies now, as in jumok eval '{run}' PLACE\n")
    said = jumok("train", "--resume", run, "--epochs", "9")
    assert (said.status, said.err) == (
        2, f"jumok: {folder} is not there any more: if the data lies elsewhere now, say where by --data\n",
    )  # fmt: skip
    said = jumok("measure", run)
    assert said.err.endswith(f"give where it lies now, as in jumok measure '{run}' PLACE\n")
    (tmp_path / "moved").rename(folder)
    (folder / "red").rename(folder / "rouge")
    said = jumok("train", "--resume", run, "--epochs", "9")
    assert "now without 1 class: red; now with 1 class: rouge): put them back, or train anew" in said.err


@pytest.fixture
def known_by_folder(noise):
    return Judge(
        TrainedOn.of_hashes(hash_parts(scan(noise, seed=3))), ImageData(images=str(noise), labels_are="class"), 3
    )


def test_images_that_were_saved_anew_are_told(noise, known_by_folder, tmp_path):
    write_noise(tmp_path / "new", numbers=range(100, 110), seed=8)
    for path in noise.rglob("*.png"):
        Image.open(path).save(tmp_path / "new" / path.parent.name / f"{path.stem}.jpg", quality=95, subsampling=0)
    chosen = choose_images(known_by_folder, tmp_path / "new", "auto")
    parts = {part: len(images) for part, images in scan(noise, seed=3).items()}
    assert chosen.part == "all"
    (told,) = chosen.remarks
    assert told.startswith(f"{parts['train'] + parts['val']} images look nearly the same as one that was trained on")
    assert f", of {len(chosen.images)} (" in told


def test_other_images_are_not_taken_for_copies(known_by_folder, tmp_path):
    write_noise(tmp_path / "new", seed=8)
    assert choose_images(known_by_folder, tmp_path / "new", "auto").remarks == ()


def test_nothing_is_opened_to_be_compared_where_all_files_are_the_run_s_own(noise, known_by_folder, monkeypatch):
    monkeypatch.setattr("jumok.data.images.survey.make_thumbs", lambda _: pytest.fail("opened"))
    assert choose_images(known_by_folder, noise, "auto").remarks == ()
