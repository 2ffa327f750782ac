"""`jumok look SOUND.wav` with a speech model from elsewhere, as a person calls it."""

import json

import pytest
from speech_models import make_sound, save_whisper, write_sound

from jumok.attention import AttentionMap

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return save_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    write_sound(folder / "a.wav", make_sound(1.0))
    write_sound(folder / "b.WAV", make_sound(0.5, 8000, seed=1), rate=8000)
    return folder


def test_each_sound_has_its_words_with_their_moments(jumok, whisper, sounds, tmp_path):
    said = jumok("look", sounds, "--model", f"hf:{whisper}", "--generate", 4, "--out", tmp_path)
    assert said.status == 0, said.err
    rows = json.loads((tmp_path / "results.json").read_text())["sounds"]
    assert [row["seconds"] for row in rows] == [1.0, 0.5]
    for number, row in enumerate(rows, 1):
        looks = AttentionMap.load(tmp_path / f"{number}.cross-attention.safetensors")
        assert looks.keys.columns == row["seconds"] / row["step_seconds"]
        assert [word["word"] for word in row["words"]] == looks.queries.labels()
        for word, weights in zip(row["words"], looks.weights, strict=True):
            assert word["peak_seconds"] == pytest.approx((int(weights[1:].argmax()) + 0.5) * row["step_seconds"])
            assert word["on_sound"] == pytest.approx(float(weights[1:].sum()))
        assert (tmp_path / f"{number}.png").stat().st_size > 1000
        assert f"{row['words'][0]['word']} {row['words'][0]['peak_seconds']:.2f} s" in said.out
    page = (tmp_path / "index.html").read_text("utf-8")
    assert "a.wav" in page
    assert '"seconds":0.5,"ticks":[0.0,0.1,0.2,0.3,0.4,0.5]' in page.replace(" ", "")


def test_pictures_of_sounds_are_spectrograms_with_seconds(jumok, whisper, sounds, tmp_path, monkeypatch):
    from jumok.views.pictures import question_picture

    drawn = []
    monkeypatch.setattr(question_picture, "save_figure", lambda figure, *_: drawn.append(figure))
    assert jumok("look", sounds / "a.wav", "--model", f"hf:{whisper}", "--generate", 3, "--out", tmp_path).status == 0
    panels = [axes for axes in drawn[0].axes if axes.get_title()]
    assert panels[0].get_title() == "spectrogram"
    for axes in panels:
        left, right = axes.get_xlim()
        seconds = [(tick - left) / (right - left) for tick in axes.get_xticks()]
        assert seconds == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
        assert axes.get_xticklabels()[-1].get_text() == "1 s"


def fail(jumok, *words):
    said = jumok("look", *words)
    assert said.status == 2
    assert said.err.count("\n") == 1
    return said.err


def test_what_is_wrong_is_one_line(jumok, whisper, sounds, tmp_path):
    model = f"hf:{whisper}"
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"no sound")
    assert "no sound or folder at nothing.wav" in fail(jumok, "nothing.wav", "--model", model)
    assert "wanted .wav with PCM" in fail(jumok, photo, "--model", model)
    (tmp_path / "empty").mkdir()
    assert "no .wav file in" in fail(jumok, tmp_path / "empty", "--model", model)
    assert "no use for --method, --layer" in fail(
        jumok, sounds / "a.wav", "--model", model, "--method", "raw", "--layer", 1
    )
    assert "from 1 to 440, got 900" in fail(jumok, sounds / "a.wav", "--model", model, "--generate", 900)
    assert "cannot write here" in fail(jumok, sounds / "a.wav", "--model", model, "--generate", 100)
    write_sound(tmp_path / "long.wav", make_sound(2.5))
    assert "hears 2 s at a time" in fail(jumok, tmp_path / "long.wav", "--model", model)


def test_a_folder_that_is_not_whole_or_contradicts_itself(jumok, sounds, tmp_path):
    folder = save_whisper(tmp_path / "model")
    file = folder / "preprocessor_config.json"
    whole = file.read_text()
    model = f"hf:{folder}"
    file.write_text(json.dumps({**json.loads(whole), "feature_size": 16}))
    assert "takes spectrograms of 8 bands and 200 frames" in fail(jumok, sounds, "--model", model)
    file.unlink()
    assert "does not say how its sounds are prepared" in fail(jumok, sounds, "--model", model)
    file.write_text(whole)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "speech_to_text"}))
    assert "wanted a WhisperForConditionalGeneration" in fail(jumok, sounds, "--model", model)
