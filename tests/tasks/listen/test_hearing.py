"""Each word that a speech model writes is laid over the moments of the sound that it was read from."""

import copy

import numpy as np
import pytest
import torch
from speech_models import PLACES, RATE, SECONDS, make_sound, save_whisper

from jumok.errors import JumokError
from jumok.tasks.listen.hearing import find_frames, hear
from jumok.tasks.listen.opening import open_listener

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def listener(tmp_path_factory):
    return open_listener(f"hf:{save_whisper(tmp_path_factory.mktemp('whisper'))}")


def read(listener, sound):
    return listener.extractor(sound, sampling_rate=RATE, return_tensors="pt")["input_features"]


def test_words_are_laid_over_the_sound_and_padding_is_apart(listener):
    heard = hear(listener, make_sound(1.3), 5)
    assert heard.step == pytest.approx(SECONDS / PLACES)
    assert (heard.looks.keys.rows, heard.looks.keys.columns) == (1, 65)
    assert heard.looks.keys.special == ("after the sound",)
    assert heard.looks.queries.labels() == list(heard.words)
    torch.testing.assert_close(heard.looks.weights.sum(1), torch.ones(len(heard.words)))
    assert heard.spectrogram.shape == (8, 130)
    assert heard.even == pytest.approx(0.65)
    assert all(0 < at < 1.3 for at in heard.peaks)
    assert hear(listener, make_sound(SECONDS), 5).looks.keys.special == ()


def test_weights_are_those_of_eager_attention(listener):
    heard = hear(listener, make_sound(SECONDS), 4)
    network = copy.deepcopy(listener.network)
    network.set_attn_implementation("eager")
    features = read(listener, make_sound(SECONDS))
    options = {"do_sample": False, "return_dict_in_generate": True, "force_unique_generate_call": True}
    made = network.generate(features, max_new_tokens=4, **options)
    ids = made.sequences[:, :-1]
    found = network(input_features=features, decoder_input_ids=ids, output_attentions=True)
    wanted = torch.stack(found.cross_attentions)[:, 0].mean((0, 1))[-len(heard.words) :]
    torch.testing.assert_close(heard.looks.weights, wanted, rtol=1e-4, atol=1e-6)
    words = listener.tokenizer.decode(made.sequences[0], skip_special_tokens=True)
    assert heard.text == words
    shares = found.logits[0].softmax(-1).gather(1, made.sequences[0, 1:, None])[-len(heard.words) :, 0]
    assert heard.probabilities == pytest.approx(shares.tolist(), abs=1e-4)


def test_sound_that_changes_in_one_span_changes_the_places_that_are_said_to_lie_there(listener):
    """The encoder without attention: each place holds its own moments alone."""
    network = listener.network.get_encoder()
    states = []
    hook = network.layers[0].register_forward_pre_hook(
        lambda _, given, more: states.append(given[0] if given else more["hidden_states"]), with_kwargs=True
    )
    sound = make_sound(SECONDS)
    features = read(listener, sound)
    step = hear(listener, sound, 2).step
    states.clear()
    try:
        for start in (10, 60, 150):
            changed = features.clone()
            changed[0, :, start : start + 8] += 1.0
            for each in (features, changed):
                with torch.no_grad():
                    network(each)
            moved = (states[-1] - states[-2])[0].abs().sum(-1).nonzero()[:, 0]
            frame = listener.hop
            said = [
                place
                for place in range(PLACES)
                if place * step < (start + 8) * frame and (place + 1) * step > start * frame
            ]
            assert set(said) <= set(moved.tolist())
            assert moved.min() >= said[0] - 1  # what a convolution of three frames reads beside a place
            assert moved.max() <= said[-1] + 1
    finally:
        hook.remove()


def test_a_decoder_that_looks_at_one_moment_peaks_there(listener):
    """Keys of one place are put in front of all others: every word must be laid at its time."""
    network = copy.deepcopy(listener.network)
    place = 40

    def turn(_, given, state):
        turned = state.last_hidden_state.clone()
        turned[:, place] *= 30
        return type(state)(last_hidden_state=turned)

    for layer in network.model.decoder.layers:
        torch.nn.init.ones_(layer.encoder_attn.k_proj.weight)
        torch.nn.init.zeros_(layer.encoder_attn.q_proj.weight)
        torch.nn.init.ones_(layer.encoder_attn.q_proj.bias)

    class Loud(torch.nn.Module):
        """The encoder, one place of which says the same in every channel."""

        def __init__(self, encoder):
            super().__init__()
            self.encoder = encoder

        def __getattr__(self, name):
            return super().__getattr__(name) if name == "encoder" else getattr(self.encoder, name)

        def forward(self, *given, **more):
            found = self.encoder(*given, **more)
            states = torch.zeros_like(found.last_hidden_state)
            states[:, place] = 5.0
            found.last_hidden_state = states
            return found

    network.model.encoder = Loud(network.model.encoder)
    heard = hear(type(listener)(listener.name, network, listener.extractor, listener.tokenizer), make_sound(1.9), 3)
    assert heard.peaks == pytest.approx([(place + 0.5) * heard.step] * len(heard.words))
    assert all(value > 0.99 for value in heard.on_sound)


def test_an_encoder_whose_places_are_out_of_order_is_refused(listener):
    network = copy.deepcopy(listener.network)
    network.model.encoder.conv2.register_forward_hook(lambda _, __, state: state.flip(-1))
    turned = type(listener)("hf:turned", network, listener.extractor, listener.tokenizer)
    assert find_frames(listener, read(listener, make_sound())) == 2
    with pytest.raises(JumokError, match="do not follow the frames of its spectrogram in equal steps"):
        hear(turned, make_sound(), 3)


def test_silence_and_noise_are_both_heard(listener):
    assert hear(listener, np.zeros(RATE, np.float32), 3).words
