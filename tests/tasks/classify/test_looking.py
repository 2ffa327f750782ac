"""Models of every kind, opened by name and asked where they look."""

import numpy as np
import pytest
import torch
from PIL import Image
from pretrained_models import save_processor

from jumok.attention import Patches
from jumok.errors import JumokError
from jumok.tasks.classify.any_classifier import open_model
from jumok.tasks.classify.fitting import TOKEN_METHODS
from jumok.tasks.classify.looking import METHODS, LookOptions, look
from jumok.watching.watch import watch

transformers = pytest.importorskip("transformers")

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def save_hf(folder, config_class, model_class, **options):
    torch.manual_seed(0)
    labels = {0: "dog", 1: "cat", 2: "새"}
    config = config_class(**{**SMALL, "image_size": 32, "patch_size": 8, **options}, id2label=labels)
    model_class(config).save_pretrained(folder)
    return save_processor(folder, 32)


@pytest.fixture(scope="module")
def hf_vit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf") / "vit"
    save_hf(folder, transformers.ViTConfig, transformers.ViTForImageClassification)
    return save_processor(folder, 32, image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6])


def photographs(count=3):
    generator = torch.Generator().manual_seed(0)
    sizes = [(32, 32), (40, 70), (100, 33)]
    return [torch.randint(0, 256, (3, *sizes[n % 3]), dtype=torch.uint8, generator=generator) for n in range(count)]


def test_a_transformers_folder_is_opened_with_its_labels_and_normalisation(hf_vit):
    opened = open_model(f"hf:{hf_vit}")
    assert opened.classes == ("dog", "cat", "새")
    assert opened.size == (32, 32)
    image = torch.full((3, 32, 32), 51, dtype=torch.uint8)
    wanted = (torch.tensor([0.2, 0.2, 0.2]) - torch.tensor([0.1, 0.2, 0.3])) / torch.tensor([0.4, 0.5, 0.6])
    torch.testing.assert_close(opened.prepare([image])[0, :, 5, 5], wanted)
    assert opened.index("새") == 2
    assert opened.index("1") == 1
    with pytest.raises(JumokError, match="has no class 'dgo': did you mean 'dog'"):
        opened.index("dgo")


def test_a_checkpoint_without_its_classifier_is_refused(tmp_path):
    """Its answers would come from random weights, other ones at each call."""
    transformers.ViTModel(transformers.ViTConfig(**SMALL, image_size=32, patch_size=8)).save_pretrained(tmp_path)
    save_processor(tmp_path, 32)
    with pytest.raises(JumokError, match=r"lacks the weights classifier\.bias, classifier\.weight, so its answers"):
        open_model(f"hf:{tmp_path}")


@pytest.mark.parametrize("family", ["ViT", "DeiT", "Dinov2WithRegisters"])
@pytest.mark.parametrize("method", TOKEN_METHODS)
def test_methods_agree_with_watch_itself_and_images_do_not_touch(tmp_path, family, method):
    config, model = (getattr(transformers, family + name) for name in ("Config", "ForImageClassification"))
    opened = open_model(f"hf:{save_hf(tmp_path / 'model', config, model)}")
    images = photographs()
    answers = look(opened, images, LookOptions((method,), layers=True))
    for image, answer in zip(images, answers, strict=True):
        alone = look(opened, [image], LookOptions((method,)))[0]
        torch.testing.assert_close(alone.heats[method].weights, answer.heats[method].weights, atol=1e-6, rtol=1e-4)
        assert float(answer.probabilities.sum()) == pytest.approx(1, abs=1e-5)
        assert answer.target == answer.predicted
        assert [layer.lead for layer in answer.layers] == [("head",)] * 2
    pixels = opened.prepare(images).requires_grad_()
    with watch(opened.model) as seen:
        logits = opened(pixels)
    wanted = {
        "rollout": lambda: seen.rollout("cls"),
        "chefer": lambda: seen.relevance(logits.max(1).values, "cls"),
        "raw": lambda: seen.row(-1, "cls").mean("head"),
    }[method]()
    assert isinstance(wanted.keys, Patches)
    for number, answer in enumerate(answers):
        torch.testing.assert_close(answer.heats[method].weights, wanted.at(batch=number).weights, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"attention", "grad-cam"}))
def test_every_method_that_fits_can_be_named(hf_vit, method):
    opened = open_model(f"hf:{hf_vit}")
    answers = look(opened, photographs(2), LookOptions((method,), target=1))
    for answer in answers:
        assert isinstance(answer.heats[method].keys, Patches)
        assert bool(answer.heats[method].weights.any())
    assert not any(value.requires_grad for value in opened.model.parameters())


def test_relevance_is_another_name_of_chefer(hf_vit):
    answer = look(open_model(f"hf:{hf_vit}"), photographs(1), LookOptions(("relevance", "chefer")))[0]
    assert torch.equal(answer.heats["relevance"].weights, answer.heats["chefer"].weights)


def test_without_a_name_the_quick_methods_are_taken_and_the_first_alone_where_one_is_asked(hf_vit):
    opened, images = open_model(f"hf:{hf_vit}"), photographs(1)
    (every,) = look(opened, images, LookOptions())
    assert list(every.heats) == ["chefer", "rollout", "raw", "legrad", "libra", "lrp", "input-x-gradient"]
    (one,) = look(opened, images, LookOptions(most=1))
    assert list(one.heats) == ["chefer"]


def test_target_layer_and_head_are_chosen(hf_vit):
    opened = open_model(f"hf:{hf_vit}")
    image = photographs(1)
    first = look(opened, image, LookOptions(("relevance",), target=0))[0]
    second = look(opened, image, LookOptions(("relevance",), target=2))[0]
    assert first.target == 0
    assert not torch.allclose(first.heats["relevance"].weights, second.heats["relevance"].weights)
    head = look(opened, image, LookOptions(("raw",), layer=0, head=1, layers=True))[0]
    torch.testing.assert_close(head.heats["raw"].weights[0], head.layers[0].weights[1, 0])
    with pytest.raises(JumokError, match="head=9 is outside"):
        look(opened, image, LookOptions(("raw",), head=9))
    with pytest.raises(JumokError, match="call 7 is outside"):
        look(opened, image, LookOptions(("raw",), layer=7))
    with pytest.raises(JumokError, match="did you mean 'rollout'"):
        LookOptions(("rolout",))


def test_a_run_with_mean_pooling_is_asked_by_the_mean_over_patches(job):
    job("run", epochs=1, options={"pool": "mean", "registers": 2}).start()
    from jumok.tasks.running.run import Run

    folder = job("run2", epochs=1, options={"pool": "mean", "registers": 2})
    folder.start()
    Run.load(folder.folder)
    opened = open_model(str(folder.folder))
    answer = look(opened, photographs(1), LookOptions(tuple(TOKEN_METHODS), layers=True))[0]
    assert answer.heats["raw"].queries.labels() == ["mean"]
    wanted = answer.layers[-1].weights[:, 2:].mean((0, 1))
    torch.testing.assert_close(answer.heats["raw"].weights[0], wanted, atol=1e-6, rtol=1e-5)
    assert answer.heats["rollout"].keys.special == ("reg1", "reg2")


def test_models_that_are_not_there_or_cannot_be_followed(tmp_path):
    with pytest.raises(JumokError, match="no run at"):
        open_model(str(tmp_path / "none"))
    with pytest.raises(JumokError, match="no model folder at"):
        open_model(f"hf:{tmp_path / 'none'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(JumokError, match=r"cannot open hf:.*it has no config\.json"):
        open_model(f"hf:{tmp_path / 'empty'}")
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=2)
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path / "resnet")
    save_processor(tmp_path / "resnet", 224)
    with pytest.raises(JumokError, match=r"attention: no attention was seen in this model: .*: grad-cam"):
        look(open_model(f"hf:{tmp_path / 'resnet'}"), photographs(1), LookOptions(("attention", "grad-cam")))


def test_models_that_attend_to_nothing_are_explained_by_their_feature_maps(tmp_path):
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=2)
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path / "resnet")
    save_processor(tmp_path / "resnet", 224)
    (answer,) = look(open_model(f"hf:{tmp_path / 'resnet'}"), photographs(1), LookOptions(target=0))
    assert list(answer.heats) == ["grad-cam", "libra", "lrp", "input-x-gradient"]
    assert answer.heats["grad-cam"].keys.in_image


WINDOWS = {"patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}
JOINED = {"hidden_sizes": [16, 16, 32], "neck_hidden_sizes": [8, 8, 16, 16, 16, 16, 32], "num_attention_heads": 2}


@pytest.mark.parametrize(
    ("family", "options", "wanted"),
    [
        ("Swin", WINDOWS, ["chefer", "rollout", "raw", "libra", "lrp", "input-x-gradient"]),
        (
            "MobileViT",
            {**JOINED, "image_size": 64, "mlp_ratio": 2.0},
            ["grad-cam", "raw", "libra", "lrp", "input-x-gradient"],
        ),
    ],
)
def test_models_of_windows_and_of_convolutions_between_layers_are_asked_by_what_fits(tmp_path, family, options, wanted):
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**{"image_size": 32, "num_labels": 3, **options})
    getattr(transformers, f"{family}ForImageClassification")(config).save_pretrained(tmp_path)
    save_processor(tmp_path, config.image_size)
    found = look(open_model(f"hf:{tmp_path}"), photographs(2), LookOptions())
    assert list(found[0].heats) == wanted
    for heat in found[1].heats.values():
        assert (heat.lead, len(heat.queries)) == ((), 1)
        assert heat.keys.in_image
    assert list(look(open_model(f"hf:{tmp_path}"), photographs(2), LookOptions(most=1))[0].heats) == wanted[:1]
    others = "raw, libra, lrp or input-x-gradient$"  # without gradients no feature map is kept
    with pytest.raises(JumokError, match=rf"attention: it shows a mechanism .* this model has none: use .*{others}"):
        look(open_model(f"hf:{tmp_path}"), photographs(2), LookOptions(("attention",)))


def test_a_model_that_names_no_classes_has_numbers(tmp_path):
    config = transformers.PvtConfig(
        image_size=32, depths=[1] * 4, hidden_sizes=[8, 16, 16, 32], num_attention_heads=[1, 2, 2, 4], num_labels=3
    )
    transformers.PvtForImageClassification(config).save_pretrained(tmp_path / "pvt")
    save_processor(tmp_path / "pvt", 32)
    assert open_model(f"hf:{tmp_path / 'pvt'}").classes == ("LABEL_0", "LABEL_1", "LABEL_2")


def test_weights_kept_as_a_pickle_are_not_read(hf_vit, tmp_path):
    for name in ("config.json",):
        (tmp_path / name).write_bytes((hf_vit / name).read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(JumokError, match=r"has its weights as pytorch_model\.bin, a pickle that can run code"):
        open_model(f"hf:{tmp_path}")


def test_pillow_and_tensors_of_any_size_are_stretched_to_the_model(hf_vit):
    opened = open_model(f"hf:{hf_vit}")
    picture = torch.from_numpy(np.array(Image.new("RGB", (10, 90), (255, 0, 0)))).permute(2, 0, 1)
    assert opened.prepare([picture]).shape == (1, 3, 32, 32)
