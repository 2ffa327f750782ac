"""Folders of models from elsewhere, before any library opens them."""

import json

import pytest

from jumok.errors import JumokError
from jumok.tasks.classify.any_classifier import open_model
from jumok.tasks.foreign_files import check_hf_folder
from jumok.tasks.model_types import is_listed

OTHERS = {
    "peft": (
        {"adapter_config.json": {"base_model_name_or_path": "some/base"}},
        "an adapter of peft, a part only: put it on its base model (some/base)",
    ),
    "peft, unreadable": ({"adapter_config.json": "{"}, "an adapter of peft, a part only"),
    "diffusers": ({"model_index.json": {}}, "a pipeline of diffusers"),
    "OpenCLIP": ({"open_clip_config.json": {}, "open_clip_pytorch_model.bin": "x"}, "a model of OpenCLIP"),
    "llama.cpp": ({"model.Q4.gguf": "x"}, "a model of llama.cpp"),
    "authors": ({"params.json": {}, "consolidated.00.pth": "x"}, "as their authors published them"),
    "CTranslate2": ({"config.json": {"add_source_bos": False}, "model.bin": "x"}, "a model of CTranslate2"),
    "OpenVINO": ({"openvino_model.xml": "x"}, "a graph of OpenVINO"),
    "ONNX": ({"model.onnx": "x"}, "a graph of ONNX"),
    "Flax": ({"config.json": {"model_type": "vit"}, "flax_model.msgpack": "x"}, "weights of Flax"),
    "Keras": ({"config.json": {"class_name": "ViT"}, "model.weights.h5": "x"}, "TensorFlow or Keras"),
    "a pickle alone": ({"best.pt": "x"}, "a pickle of PyTorch, which can run code"),
    "timm": ({"config.json": {"architecture": "vit"}, "model.safetensors": "x"}, "give it as timm:local-dir:"),
    "another configuration": ({"config.json": {"a": 1}, "model.safetensors": "x"}, "names no model_type"),
    "nothing": ({"readme.md": "x"}, "it has no config.json"),
    "no weights": ({"config.json": {"model_type": "vit"}}, "it has no weights"),
}


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, held in files.items():
        (folder / name).write_text(held if isinstance(held, str) else json.dumps(held))


@pytest.mark.parametrize("name", OTHERS)
def test_a_folder_of_another_library_is_named_with_what_to_do(name, tmp_path):
    files, said = OTHERS[name]
    write(tmp_path, files)
    with pytest.raises(JumokError) as refused:
        check_hf_folder(tmp_path)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_transformer_of_sentence_transformers_is_pointed_to(tmp_path):
    write(tmp_path, {"modules.json": [{"path": "0_Transformer"}, {"path": "1_Pooling"}]})
    with pytest.raises(JumokError, match="its model is not there"):
        check_hf_folder(tmp_path)
    write(tmp_path / "0_Transformer", {"config.json": {"model_type": "bert"}})
    with pytest.raises(JumokError, match=f"give hf:{tmp_path}/0_Transformer"):
        check_hf_folder(tmp_path)


def test_code_from_a_repository_is_refused_but_for_what_is_built_in(tmp_path):
    write(tmp_path, {"config.json": {"model_type": "vit", "auto_map": {"AutoConfig": "x.Y"}}, "model.safetensors": "x"})
    with pytest.raises(JumokError, match="asks for code from a repository"):
        check_hf_folder(tmp_path)
    check_hf_folder(tmp_path, {"vit"})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"num_hidden_layers": 1}, "has weights of layers that its configuration leaves out, vit.layers.1."),
        ({"hidden_size": 48}, "has classifier.weight as 2 x 32 in its weights, and its configuration says 2 x 48"),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "has classifier.bias as 2 in its weights"),
        ({"num_hidden_layers": 3}, "lacks the weights vit.layers.2."),
    ],
)
def test_weights_that_contradict_the_configuration_are_named(values, said, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8
    )
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    processor = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
    stored = json.loads((tmp_path / "config.json").read_text("utf-8")) | values
    write(tmp_path, {"preprocessor_config.json": processor, "config.json": stored})
    with pytest.raises(JumokError) as refused:
        open_model(f"hf:{tmp_path}")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", [["vit"], 5, None, {"a": 1}])
@pytest.mark.parametrize("key", ["model_type", "architecture"])
def test_a_kind_of_model_that_is_no_name_is_refused(kind, key, tmp_path):
    write(tmp_path, {"config.json": {"model_type": "vit", key: kind}, "model.safetensors": "x"})
    with pytest.raises(JumokError, match=f"as {key}: wanted the name of one"):
        is_listed(f"hf:{tmp_path}", "IMAGE_CLASSIFICATION")
    with pytest.raises(JumokError, match=f"as {key}: wanted the name of one"):
        open_model(f"hf:{tmp_path}")


def test_a_prefix_without_a_name_is_no_model():
    with pytest.raises(JumokError, match="hf: names no model: wanted hf: and a folder"):
        is_listed("hf:", "OBJECT_DETECTION")
