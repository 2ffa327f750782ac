"""The steps of `generate()` joined into one alignment, against the cross-attention of a teacher-forced pass."""

import pytest
import torch
from small_translators import (
    END,
    LONGEST,
    MODELS,
    PAD,
    START,
    WORDS,
    bart,
    generate,
    marian,
    peaked,
    sources,
    teacher_forced,
)

from jumok.attention import Patches, Tokens
from jumok.errors import JumokError
from jumok.watching import decoder_steps
from jumok.watching.watch import watch

transformers = pytest.importorskip("transformers")


def check(model, batch, **options):
    plain = generate(model, batch, **options)
    with watch(model) as seen:
        output = generate(model, batch, **options)
    assert torch.equal(plain, output)
    joined = seen.alignment(output)
    assert joined.lead == ("batch", "layer", "head")
    assert (joined.weights >= 0).all()
    torch.testing.assert_close(joined.weights, teacher_forced(model, batch, output), atol=1e-5, rtol=1e-4)
    return seen, output, joined


SEARCHES = {
    "greedy": {},
    "beams": {"num_beams": 4},
    "two best": {"num_beams": 4, "num_return_sequences": 2},
    "three best of five": {"num_beams": 5, "num_return_sequences": 3, "length_penalty": 0.0},
}


KERNELS = [("sdpa", search) for search in SEARCHES]
KERNELS += [("eager", search) for search in ("greedy", "three best of five")]  # rows are sorted alike whatever weighs


@pytest.mark.parametrize(("attention", "search"), KERNELS)
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "uncached"])
@pytest.mark.parametrize("name", MODELS)
def test_steps_are_joined_as_one_teacher_forced_pass(name, attention, cached, search):
    model = MODELS[name]()
    model.set_attn_implementation(attention)
    _, output, joined = check(model, sources(model), use_cache=cached, **SEARCHES[search])
    many = len(output) // 3
    assert (joined.weights[many : 2 * many, ..., 4:] == 0).all()  # the second source has 4 tokens
    assert output.shape[1] > 4


def test_the_searches_do_move_hypotheses_and_end_them_at_different_lengths(monkeypatch):
    """Were they to stay in their rows, the tests above would hold without any joining."""
    moved = {}
    for name, build in MODELS.items():
        model = build()
        with watch(model) as seen:
            output = generate(model, sources(model), **SEARCHES["three best of five"])
        ends = [decoder_steps.Filling.of(model).lengths(output).tolist()]
        assert len(set(ends[0])) > 1, f"{name}: all outputs have the same length"
        moved[name] = (seen, output)
    monkeypatch.setattr(decoder_steps, "_find_parents", lambda before, step: list(range(len(before.prefix))))
    for seen, output in moved.values():
        with pytest.raises(JumokError, match="shares only its first"):
            seen.alignment(output)


def test_one_layer_whose_keys_tell_of_one_token_each():
    model = bart(layers=1)
    check(model, sources(model), num_beams=4, num_return_sequences=2)


def test_static_caches_which_are_written_to_in_place():
    model = bart()
    check(model, sources(model), cache_implementation="static")
    check(model, sources(model), cache_implementation="static", num_beams=3)


def test_a_prompt_in_a_static_cache_that_is_written_to_later_is_kept():
    model = bart()
    prompt = torch.tensor([[START, 7, 11]] * 3)
    maps = []
    for how in ({}, {"cache_implementation": "static"}):
        with watch(model) as seen:
            output = generate(model, sources(model), decoder_input_ids=prompt, **how)
        maps.append(seen.alignment(output).weights)
    torch.testing.assert_close(maps[1], maps[0], atol=1e-5, rtol=1e-4)


def test_samples_and_inference_mode():
    model = bart()
    batch = sources(model)
    torch.manual_seed(3)
    with torch.inference_mode(), watch(model) as seen:
        output = generate(model, batch, do_sample=True, num_return_sequences=3, temperature=2.0)
    wanted = teacher_forced(model, batch, output)
    torch.testing.assert_close(seen.alignment(output).weights, wanted, atol=1e-5, rtol=1e-4)


def test_a_prompt_for_the_decoder():
    model = bart()
    prompt = torch.tensor([[START, 7, 11]] * 3)
    _, output, _ = check(model, sources(model), num_beams=4, decoder_input_ids=prompt)
    assert torch.equal(output[:, :3], prompt)


def test_a_source_of_one_token():
    model = bart()
    check(model, sources(model, lengths=(1,)))
    check(model, sources(model, lengths=(1, 1)), num_beams=2, max_length=5)


def test_one_step():
    model = bart()
    check(model, sources(model), max_length=2, min_length=0)


def test_several_runs_in_one_block():
    model = bart()
    first, second = sources(model), sources(model, lengths=(5, 8, 3))
    with watch(model) as seen:
        outputs = [generate(model, first, num_beams=4), generate(model, second), generate(model, first)]
    for batch, output in zip((first, second, first), outputs, strict=True):
        wanted = teacher_forced(model, batch, output)
        torch.testing.assert_close(seen.alignment(output).weights, wanted, atol=1e-5, rtol=1e-4)


def test_a_teacher_forced_pass_is_read_the_same_way():
    model = marian()
    batch = sources(model)
    output = generate(model, batch, num_beams=4)
    with torch.no_grad(), watch(model) as seen:
        model(**batch, decoder_input_ids=output[:, :-1])
    wanted = teacher_forced(model, batch, output)
    torch.testing.assert_close(seen.alignment(output).weights, wanted, atol=1e-5, rtol=1e-4)


def test_words_layers_and_the_next_step():
    model = bart()
    batch = sources(model, lengths=(6,))
    with watch(model, tokens=[f"s{number}" for number in range(6)]) as seen:
        output = generate(model, batch, num_beams=4)
    words = [f"t{number}" for number in range(output.shape[1])]
    joined = seen.alignment(output, target=words)
    assert joined.queries == Tokens(tuple(words[1:]))
    assert joined.keys.labels() == [f"s{number}" for number in range(6)]
    mean = joined.at(batch=0, layer=-1).mean("head")
    assert mean.weights.sum(-1).allclose(torch.ones(len(words) - 1))
    source = [f"w{number}" for number in range(6)]
    shifted = seen.alignment(output, source=source, target=words[1:], shift=True)
    assert shifted.keys.labels() == source
    assert shifted.queries.labels() == words[1:-1]
    assert torch.equal(shifted.weights, joined.weights[..., 1:, :])


def test_keys_of_cached_steps_are_let_go():
    model = bart()
    with watch(model) as seen:
        output = generate(model, sources(model), num_beams=4)
    decoding = [call for call in seen._calls if call.attended.shape[2] == 1]
    kept = sum(call.attended.softmax.numel() for call in decoding)
    steps, rows, keys, layers, heads = output.shape[1], 12, 9 + LONGEST, 2, 4
    assert len(decoding) == 2 * layers * (steps - 1)
    assert kept <= steps * rows * keys * layers * heads


def test_captions_look_at_patches():
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
    words = {"vocab_size": WORDS, "pad_token_id": PAD, "eos_token_id": END, "bos_token_id": 0}
    decoder = transformers.BertConfig(**small, **words, is_decoder=True, add_cross_attention=True)
    encoder = transformers.ViTModel(transformers.ViTConfig(**small, image_size=32, patch_size=8))
    model = peaked(
        transformers.VisionEncoderDecoderModel(encoder=encoder, decoder=transformers.BertLMHeadModel(decoder))
    )
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    search = {"num_beams": 3, "num_return_sequences": 2, "max_length": 7, "no_repeat_ngram_size": 2}
    with torch.no_grad(), watch(model) as seen:
        output = model.generate(
            pixel_values=pixels, decoder_start_token_id=0, pad_token_id=PAD, eos_token_id=END, do_sample=False, **search
        )
    joined = seen.alignment(output, padding=PAD)
    assert joined.keys == Patches(4, 4, special=("cls",))
    repeated = pixels.repeat_interleave(2, 0)
    model.decoder.set_attn_implementation("eager")
    with torch.no_grad():
        maps = model(pixel_values=repeated, decoder_input_ids=output[:, :-1], output_attentions=True).cross_attentions
    weights = torch.stack(maps, 1)
    real = (joined.weights > 0).any(-1, keepdim=True)
    assert real[:, :, :, :2].all()
    torch.testing.assert_close(joined.weights, weights * real, atol=1e-5, rtol=1e-4)


# -- errors -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def translated():
    model = bart()
    with watch(model) as seen:
        output = generate(model, sources(model), num_beams=4, num_return_sequences=2)
    return seen, output


def test_nothing_was_run():
    with watch(bart()) as seen:
        pass
    with pytest.raises(JumokError, match="no attention call was seen"):
        seen.alignment(torch.tensor([[2, 5]]))


def test_an_output_that_was_decoded_elsewhere(translated):
    seen, output = translated
    other = output.clone()
    other[3, 2] = 33
    with pytest.raises(JumokError, match=r"output 3 shares only its first 2 of \d+ tokens"):
        seen.alignment(other)


def test_an_output_without_its_start_token_is_read_with_it(translated):
    """As speech models return it: what the decoder was made to begin with is known."""
    seen, output = translated
    assert torch.equal(seen.alignment(output[:, 1:]).weights, seen.alignment(output).weights)
    with pytest.raises(JumokError, match="start token first"):
        seen.alignment(output[:, 2:])


def test_some_of_the_outputs(translated):
    seen, output = translated
    with pytest.raises(JumokError, match="all that it returned"):
        seen.alignment(output[:5])


def test_padding_that_is_not_the_models(translated):
    seen, output = translated
    other = torch.where(output == PAD, 39, output)
    with pytest.raises(JumokError, match="padding=ID"):
        seen.alignment(other)
    assert torch.equal(seen.alignment(other, padding=39).weights, seen.alignment(output).weights)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.zeros(3), "got torch.float32 of shape"),
        (torch.zeros(3, dtype=torch.long), r"shape \(3,\)"),
        (torch.zeros(3, 1, dtype=torch.long), "at least one more"),
        ([[2, 3]], "got list"),
        (type("Generated", (), {"sequences": None})(), "give its .sequences"),
    ],
)
def test_what_is_no_output(translated, wrong, message):
    with pytest.raises(JumokError, match=message):
        translated[0].alignment(wrong)


def test_words_that_do_not_fit(translated):
    seen, output = translated
    with pytest.raises(JumokError, match="got 2 source words for 9 source tokens"):
        seen.alignment(output, source=["a", "b"])
    with pytest.raises(JumokError, match="split it first"):
        seen.alignment(output, target="a sentence")


def test_an_encoder_alone_has_no_alignment():
    model = bart()
    with torch.no_grad(), watch(model) as seen:
        model.get_encoder()(**sources(model))
    with pytest.raises(JumokError, match=r"shares only|no decoder"):
        seen.alignment(torch.tensor([[2, 5, 2]] * 3))


def test_a_decoder_without_a_source_has_no_alignment():
    config = transformers.GPT2Config(vocab_size=WORDS, n_embd=16, n_layer=2, n_head=2, n_positions=32)
    model = peaked(transformers.GPT2LMHeadModel(config))
    with torch.no_grad(), watch(model) as seen:
        output = model.generate(torch.tensor([[3, 4, 5]]), max_length=9, do_sample=False, pad_token_id=0)
    with pytest.raises(JumokError, match="nothing but itself"):
        seen.alignment(output)
