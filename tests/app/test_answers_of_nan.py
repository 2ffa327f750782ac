"""Models from elsewhere that answer NaN: told in one line by every command, whatever they read."""

import numpy as np
import pytest
from detectors import save_detector
from PIL import Image
from pretrained_models import save_hf
from safetensors.torch import load_file, save_file
from speech_models import make_sound, save_whisper, write_sound
from text_models import save_sentence_encoder, save_text_model
from vision_language import make

pytest.importorskip("transformers")

TOLD = "answers NaN or infinity: its weights or its settings are damaged"
MEND = "give another model, or mend its files"
"""Of a speech model the library itself ends where it looks for the best word."""
TEXT = "The quick brown fox jumps over the lazy dog."


def overflow(folder, value=3e38, part=""):
    """Weights that are numbers, and too large for their products."""
    path = folder / "model.safetensors"
    weights = {name: tensor.clone() for name, tensor in load_file(path).items()}
    for name, tensor in weights.items():
        if tensor.dim() > 1 and tensor.is_floating_point() and part in name:
            weights[name] = tensor.sign() * value
    save_file(weights, path, {"format": "pt"})
    return folder


@pytest.fixture
def photos(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    for name in ("thing 0", "thing 1"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "photos" / name / "photo.png")
    return tmp_path / "photos"


def refuse(said, told=TOLD):
    assert said.status == 2, (said.out, said.err)
    assert told in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("command", ["look", "predict", "eval", "measure"])
def test_a_classifier_of_images(command, jumok, photos, tmp_path):
    model = f"hf:{save_hf(tmp_path / 'model', layer_norm_eps=float('nan'))}"
    words = {"look": [photos, "--model", model], "measure": [model, photos], "eval": [model, photos]}
    out = ["--csv", tmp_path / "x.csv"] if command == "predict" else ["--out", tmp_path / "out"]
    refuse(jumok(command, *words.get(command, [model, photos]), *out))
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize(
    ("kind", "setting", "words"),
    [
        ("BertForSequenceClassification", "layer_norm_eps", [TEXT]),
        ("BertForMaskedLM", "layer_norm_eps", [f"{TEXT} [MASK]"]),
        ("GPT2LMHeadModel", "layer_norm_epsilon", [TEXT]),
        ("GPT2LMHeadModel", "layer_norm_epsilon", [TEXT, "--generate", 2]),
        ("LlamaForCausalLM", "rms_norm_eps", [TEXT, "--generate", 2]),
        ("T5ForConditionalGeneration", "layer_norm_epsilon", [TEXT]),
    ],
)
def test_a_model_of_texts(kind, setting, words, jumok, tmp_path):
    model = save_text_model(tmp_path / "model", kind, **{setting: float("nan")})
    refuse(jumok("look", *words, "--model", f"hf:{model}", "--out", tmp_path / "out"), "NaN or infinity")


def test_a_detector_a_speech_model_and_one_that_answers_questions(jumok, photos, tmp_path):
    photo = photos / "thing 0" / "photo.png"
    detector = overflow(save_detector(tmp_path / "detector"))
    refuse(jumok("look", photo, "--model", f"hf:{detector}", "--out", tmp_path / "a"))
    whisper = overflow(save_whisper(tmp_path / "whisper"), part="decoder")
    write_sound(tmp_path / "a.wav", make_sound(1.0))
    refuse(
        jumok("look", tmp_path / "a.wav", "--model", f"hf:{whisper}", "--generate", 2, "--out", tmp_path / "b"), MEND
    )
    family = make("llava")
    family.save(tmp_path / "llava")
    model = overflow(tmp_path / "llava")
    refuse(jumok("ask", "--model", f"hf:{model}", photo, "what is this ?", "--generate", 2, "--out", tmp_path / "c"))


def test_a_sentence_encoder(jumok, tmp_path):
    model = overflow(save_sentence_encoder(tmp_path / "model"))
    refuse(jumok("look", TEXT, TEXT, "--model", f"hf:{model}", "--out", tmp_path / "out"), "NaN or infinity")


def test_weights_that_are_no_numbers_are_named(jumok, photos, tmp_path):
    model = overflow(save_hf(tmp_path / "model"), float("nan"))
    refuse(jumok("predict", f"hf:{model}", photos), "has NaN or infinity in its weights, in vit.")
