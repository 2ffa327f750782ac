import io
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from small_runs import Job

import jumok
from jumok.errors import JumokError
from jumok.tasks.running.claim import claim
from jumok.tasks.running.run import Run


@pytest.fixture(scope="module")
def folder(photos, tmp_path_factory):
    run = Job(photos, tmp_path_factory.mktemp("runs") / "first", epochs=1)
    run.start()
    return run.folder


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_load_gives_something_ready_to_use(folder, photos):
    run = jumok.load(str(folder))
    assert run.classes == ("blue", "red")
    assert not run.model.training
    path = next(photos.rglob("*.png"))
    pixels = run.prepare([path, str(path), Image.open(path)])
    assert pixels.shape == (3, 3, 16, 16)
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[0], pixels[2])
    probabilities = run.probabilities(pixels)
    assert probabilities.shape == (3, 2)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(3))
    assert not probabilities.requires_grad


def test_one_image_gets_one_prediction_and_a_list_gets_a_list(folder, photos):
    run = jumok.load(folder)
    path = next(photos.rglob("*.png"))
    array = np.asarray(Image.open(path).convert("RGB"))
    forms = [path, str(path), Image.open(path), array, array / 255, torch.from_numpy(array.copy()).permute(2, 0, 1)]
    predictions = [run.predict(form) for form in forms]
    assert all(each == predictions[0] for each in predictions)
    one = predictions[0]
    assert one.label == max(one.probabilities, key=one.probabilities.get)
    assert one.probability == one.probabilities[one.label]
    assert sum(one.probabilities.values()) == pytest.approx(1)
    listed = run.predict(forms, batch_size=4)
    assert [each.label for each in listed] == [one.label] * len(forms)
    assert len(run.predict(np.stack([array, array]))) == 2
    assert run.predict([]) == []
    with pytest.raises(JumokError, match="fractions from 0 to 1"):
        run.predict(run.prepare([path]))
    with pytest.raises(JumokError, match="cannot read"):
        run.predict(path.with_name("none.png"))


def test_files_and_columns_of_paths_are_images_too(folder, photos):
    run = jumok.load(folder)
    path = next(photos.rglob("*.png"))
    wanted = run.predict(path)
    with path.open("rb") as file:
        assert run.predict(file) == wanted
    assert run.predict([io.BytesIO(path.read_bytes())]) == [wanted]
    assert run.predict(np.array([str(path)] * 2)) == [wanted] * 2
    assert run.predict(np.array(path, dtype=object)) == wanted


def test_what_is_no_image_is_told_with_the_way_out(folder, photos):
    run = jumok.load(folder)
    array = np.asarray(Image.open(next(photos.rglob("*.png"))).convert("RGB"))
    for given, words in [
        (array.transpose(2, 0, 1), r"channels come last, so call \.transpose\(1, 2, 0\)"),
        (array.astype(np.int64), r'call \.astype\("uint8"\)'),
        (array.astype(np.int64) + 1000, "with 1 to 4 channels$"),
        (array.astype(float), "divide it by 255, or give uint8"),
        (array / 255 - 0.5, "before it was normalised"),
        (photos, "it is a folder: name the images in it"),
    ]:
        with pytest.raises(JumokError, match=words):
            run.predict(given)


def test_a_run_says_what_it_cannot_do(folder):
    run = jumok.load(folder)
    with pytest.raises(JumokError, match=r"no \.translate\(\): it was trained to classify images; use \.predict\(\)"):
        run.translate("Ein Hund rennt.")
    with pytest.raises(JumokError, match=r"has no \.ask\(\)"):
        run.ask("photo.jpg", "What is this?")


def test_a_run_is_shown_in_a_line(folder):
    assert repr(jumok.load(folder)) == f"ImageRun({str(folder)!r}, system vit-nano, 2 classes: blue, red)"


def test_preparing_normalises_and_resizes(folder):
    run = Run.load(folder)
    grey = torch.full((3, 40, 24), 100, dtype=torch.uint8)
    pixels = run.prepare([grey])
    assert pixels.shape == (1, 3, 16, 16)
    wanted = (100 / 255 - torch.tensor(run.config.found.mean)) / torch.tensor(run.config.found.std)
    torch.testing.assert_close(pixels[0, :, 5, 5], wanted)


def test_the_training_images_come_out_normalised(folder, photos):
    run = Run.load(folder)
    pixels = run.prepare(sorted(photos.rglob("*.png")))
    assert pixels.mean((0, 2, 3)).abs().max() < 0.1
    assert (pixels.std((0, 2, 3)) - 1).abs().max() < 0.1


def test_saved_elsewhere_it_is_the_same(folder, tmp_path, photos):
    run = Run.load(folder)
    run.save(tmp_path / "elsewhere")
    again = Run.load(tmp_path / "elsewhere")
    pixels = run.prepare(sorted(photos.rglob("*.png"))[:4])
    assert torch.equal(run.probabilities(pixels), again.probabilities(pixels))
    assert again.config == run.config


@pytest.mark.parametrize("images", [[], "one.png", Image.new("RGB", (4, 4))])
def test_preparing_needs_a_list(folder, images):
    with pytest.raises(JumokError, match="a list of at least one image"):
        Run.load(folder).prepare(images)


def test_no_run_there_is_said(folder, tmp_path):
    with pytest.raises(JumokError, match="did you mean 'first'"):
        Run.load(folder.parent / "frist")
    with pytest.raises(JumokError, match="no run at"):
        Run.load(tmp_path / "a" / "b")
    with pytest.raises(JumokError, match=r"is not a run: it has no config\.yaml"):
        Run.load(tmp_path)


def test_a_run_before_its_first_checkpoint_says_how_to_go_on(copy):
    (copy / "weights.safetensors").unlink()
    with pytest.raises(JumokError, match=r"has no weights yet: .*--resume"):
        Run.load(copy)
    with claim(copy), pytest.raises(JumokError, match=r"has no weights yet: its training goes on"):
        Run.load(copy)


@pytest.mark.parametrize("length", [0, 100, -50])
def test_cut_weights_are_refused(copy, length):
    path = copy / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(JumokError, match=r"weights\.safetensors is damaged"):
        Run.load(copy)


def test_foreign_weights_are_refused_by_their_header(copy):
    save_file({"head.weight": torch.zeros(3)}, copy / "weights.safetensors")
    with pytest.raises(JumokError, match="do not fit the model"):
        Run.load(copy)


def test_a_pickle_is_never_opened(copy):
    torch.save({"x": torch.zeros(1)}, copy / "weights.safetensors")
    with pytest.raises(JumokError, match="damaged or something else"):
        Run.load(copy)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format: 1", "format: 9", "run format 9"),
        ("system: vit-nano", "system: vit-nono", "did you mean 'vit-nano'"),
        ("width: 16", "width: 32", "do not fit the model"),
        ("width: 16", "weight: 16", "no option 'weight'"),
        ("  classes: 2", "  classes: 3", "3 classes but names 2"),
        ("heads: 2", "heads: 3", "heads 3 do not divide width 16"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(copy, old, new, message):
    path = copy / "config.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(JumokError, match=message):
        Run.load(copy)
