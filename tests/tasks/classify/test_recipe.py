import numpy as np
import torch
from PIL import Image
from small_runs import write_photos

from jumok.data.images.batches import PixelStore
from jumok.tasks.classify import prepare
from jumok.tasks.classify.recipe import Repeated, balance_order, choose_from_images, choose_variation
from jumok.tasks.classify.settings import ImageData, ImageTraining, Settings
from jumok.tasks.running.class_figures import BALANCED
from jumok.tasks.running.time_plan import Speed, fix_length


def uneven(folder, few=6, many=40):
    chance = np.random.default_rng(0)
    for name, count, level in (("fine", many, 90), ("torn", few, 150)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(chance.normal(level, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def prepared(folder, system="mlp", **training):
    given = {"device": "cpu", "epochs": 1, "flips": "none", **training}
    settings = Settings(system=system, data=ImageData(images=str(folder)), training=ImageTraining(**given))
    return prepare.prepare(settings)


def test_a_balanced_pass_has_every_class_as_often_as_the_largest():
    labels = torch.tensor([2, 0, 0, 0, 0, 0, 1, 1, 2])
    order = balance_order(labels)
    assert torch.bincount(labels[order]).tolist() == [5, 5, 5]
    times = torch.bincount(order)
    assert times.min() >= 1
    for label in range(3):
        assert times[labels == label].max() - times[labels == label].min() <= 1


def test_repeated_images_are_the_images(tmp_path):
    folder = write_photos(tmp_path / "photos", each=4)
    paths = sorted(folder.rglob("*.png"))
    store = PixelStore(paths, 16, 16)
    some = torch.tensor([3, 0, 0, 7])
    repeated = Repeated(store, some)
    assert len(repeated) == 4
    assert torch.equal(repeated.get(torch.tensor([1, 3])), store.get(torch.tensor([0, 7])))


def test_uneven_classes_are_told_shown_alike_and_judged_alike(tmp_path):
    made = prepared(uneven(tmp_path / "parts"))
    assert made.config.training.balance == "sampler"
    assert any("uneven classes: 'fine' has 28 training images, 'torn' 4" in line for line in made.remarks)
    seen = torch.cat([batch.labels for batch in made.train])
    assert abs(int((seen == 0).sum()) - int((seen == 1).sum())) <= made.config.training.batch_size
    module = made.module()
    assert BALANCED in module.figure_names
    assert module.goodness({"val_accuracy": 0.9, BALANCED: 0.5, "val_loss": 1.0}) == (0.5, -1.0)


def test_the_balanced_accuracy_of_a_validation_is_the_mean_of_the_recalls(tmp_path):
    module = prepared(uneven(tmp_path / "parts")).module()
    counts = prepared(tmp_path / "parts").config.found.per_class["val"]
    labels = torch.tensor([0] * counts[0] + [1] * counts[1])
    right = torch.zeros(len(labels))
    right[: counts[0] // 2] = 1  # half of the first class, none of the second
    for name in module.figure_names:
        module.note(name, right * module.kind.shares[labels] if name == BALANCED else right)
    module.on_validation_epoch_end()
    assert abs(module.figures[BALANCED] - counts[0] // 2 / counts[0] / 2) < 1e-6


def test_weights_make_each_class_count_alike_in_the_loss(tmp_path):
    module = prepared(uneven(tmp_path / "parts"), balance="weights").module()
    train = torch.tensor(prepared(tmp_path / "parts").config.found.per_class["train"]).float()
    torch.testing.assert_close(module.kind.weights * train, torch.full((2,), float(train.sum()) / 2))


def test_even_classes_are_left_as_they_are(tmp_path):
    made = prepared(write_photos(tmp_path / "photos"))
    assert made.config.training.balance == "none"
    assert BALANCED not in made.module().figure_names


def test_what_was_asked_for_is_not_chosen(tmp_path):
    folder = write_photos(tmp_path / "photos", each=20)
    sets = prepare.find_parts(ImageData(images=str(folder)), 0)
    store = PixelStore(sets["train"].paths, 16, 16)
    training = ImageTraining(batch_size=8, flips="both", balance="none")
    assert choose_from_images(training, training.model_fields_set, sets["train"], store, seen=1e6) == ({}, [])


def test_images_are_varied_the_more_the_more_often_they_are_seen():
    few, some, more, many = (choose_variation((), passes) for passes in (1, 15, 60, 500))
    assert few["mixup"] == few["label_smoothing"] == some["mixup"] == 0, "mixing slows what is short"
    for name in ("augment_strength", "label_smoothing"):
        assert few[name] < some[name] < more[name] == many[name]
    assert 0 < more["mixup"] < many["mixup"]
    assert many == {"augment_strength": 1.0, "mixup": 0.2, "label_smoothing": 0.1}


def test_somewhat_uneven_classes_are_judged_alike_but_not_shown_more_often(tmp_path):
    made = prepared(uneven(tmp_path / "parts", few=20))
    assert made.config.training.balance == "none"
    assert BALANCED in made.module().figure_names
    (told,) = [line for line in made.remarks if "uneven classes" in line]
    assert "balanced accuracy" in told
    assert "more often" not in told


def test_a_residual_network_keeps_the_rate_it_is_known_to_like(tmp_path):
    images = uneven(tmp_path / "parts")
    assert prepared(images, system="senet").trusted_rate == 0.01
    assert prepared(images, system="vit-nano").trusted_rate is None


def test_a_balanced_pass_counts_its_repeats_for_how_often_images_are_seen(tmp_path):
    made = prepared(uneven(tmp_path / "parts"))
    assert made.train.deal.total == 2 * 28
    assert made.pass_steps * made.config.training.batch_size == 32 == made.config.found.counts["train"]
    planned = fix_length(made, Speed(step=0.01, validation=0.1), 10.0, 10.0, told=True)
    steps = planned.training.epochs * planned.training.steps_per_epoch
    passes = steps * made.config.training.batch_size / 32
    assert f"{passes:.3g} passes over the training data" in planned.remarks[-1]


def test_passes_are_counted_in_words_and_time_that_reading_used_up_is_owned_to(tmp_path):
    made = prepared(uneven(tmp_path / "parts"))
    steps = made.pass_steps
    once = fix_length(made, Speed(step=1.0, validation=0.0), steps, steps, told=True)
    assert any("1 pass over the training data" in line for line in once.remarks)
    late = fix_length(made, Speed(step=1.0, validation=0.0), 1.0, 60.0, told=True, spent=146.0)
    told = next(line for line in late.remarks if line.startswith("time: 1 min"))
    assert told.endswith("; loading, reading and trials alone took 2 min 26 s, so training ends later than asked")
    early = fix_length(made, Speed(step=1.0, validation=0.0), 1.0, 60.0, told=True, spent=20.0)
    assert any(line.endswith("loading, reading and trials took 20 s of it") for line in early.remarks)
