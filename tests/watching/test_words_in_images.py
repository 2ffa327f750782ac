"""Words that look at images: each token that stands for a place names the pixels that it was made from."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from vision_language import FAMILIES, ID, make, make_blip2, make_florence2
from watched_models import eager

from jumok.attention import Interleaved, Patches, Regions, Tokens
from jumok.attention.interleaved import as_interleaved
from jumok.errors import JumokError
from jumok.watching.pixel_tracing import trace_pixels
from jumok.watching.watch import watch

transformers = pytest.importorskip("transformers")

GREEDY = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False}


def generate(family, photos, **options):
    inputs = family.inputs(photos)
    traced = trace_pixels(family.processor, photos, inputs, **family.options)
    with torch.no_grad(), watch(family.model, pixels=traced) as seen:
        output = family.model.generate(**inputs, **GREEDY, **options)
    return inputs, output, seen


def silence(family):
    """The model with nothing that mixes the tokens of an image, so that each holds its own pixels alone."""
    model = copy.deepcopy(family.model)
    for name, module in model.named_modules():
        if name.endswith(family.silent) and "language_model" not in name and "text_model" not in name:
            torch.nn.init.zeros_(module.weight)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
        elif isinstance(module, torch.nn.Conv2d) and module.kernel_size != module.stride:
            cut_to_stride(module)
    return model


def cut_to_stride(convolution):
    """Leave of a kernel what lies in the cell of its stride: what reaches further lies in its neighbours' cells."""
    weight = torch.zeros_like(convolution.weight)
    inside = [slice(pad, pad + step) for pad, step in zip(convolution.padding, convolution.stride, strict=True)]
    weight[:, :, *inside] = convolution.weight[:, :, *inside]
    convolution.weight.data = weight


def embed(family, model, photos):
    """(tokens, size): what the language model is given."""
    found = []
    layers = next(
        module
        for name, module in model.named_modules()
        if name.endswith(("language_model.layers", "text_model.layers", "language_model.encoder.layers"))
    )
    hook = layers[0].register_forward_pre_hook(
        lambda _, args, kwargs: found.append((*args, *kwargs.values())[0]), with_kwargs=True
    )
    with torch.no_grad():
        model(**family.inputs(photos))
    hook.remove()
    return found[0][0]


def meet(one, other):
    return max(one[0], other[0]) < min(one[2], other[2]) and max(one[1], other[1]) < min(one[3], other[3])


def change(photo, box):
    top, left, bottom, right = box
    pixels = np.array(photo)
    pixels[top:bottom, left:right] = 255 - pixels[top:bottom, left:right]
    return Image.fromarray(pixels)


def check_places(family, photos, keys):
    """Change what each place covers: the tokens that lie there move and no others; places cover all of an image."""
    assert isinstance(keys, Interleaved)
    assert len(keys.images) == len(photos)
    assert [len(entries) for entries in keys.entries] == (family.places or family.counts)
    model = silence(family)
    before = embed(family, model, photos)
    for number, (places, entries) in enumerate(zip(keys.images, keys.entries, strict=True)):
        height, width = family.sizes[number]
        boxes = [places.box(place, height, width) for place in range(len(places))]
        for place in range(len(places)):
            changed = [*photos]
            changed[number] = change(photos[number], boxes[place])
            moved = (embed(family, model, changed) != before).any(-1)
            near = [each for each in range(len(places)) if meet(boxes[each], boxes[place])]  # of tiles and the whole
            assert moved.nonzero()[:, 0].tolist() == sorted(entries[each] for each in near)
        covered = places.spread(torch.ones(len(places)), height, width)
        assert bool((covered == covered[0, 0]).all())
        assert covered[0, 0] >= 1


@pytest.mark.parametrize("name", FAMILIES)
def test_pixels_change_the_tokens_that_are_said_to_lie_there_and_no_others(name):
    family = make(name)
    photos = family.photos()
    _, output, seen = generate(family, photos)
    check_places(family, photos, seen.generated(output).keys)


@pytest.mark.parametrize(
    ("name", "tokens", "places"),
    [("llava-next", 16 + 4 * 8 + 4, 48), ("internvl", 12, 12), ("idefics3", 12, 12), ("smolvlm", 12, 12)],
)
def test_pixels_of_several_images_in_tiles_change_the_tokens_of_their_own(name, tokens, places):
    family = make(name)
    family.places = [*(family.places or family.counts), places]
    family.sizes, family.counts = [(32, 32), (16, 32)], [*family.counts, tokens]
    photos = family.photos()
    _, output, seen = generate(family, photos)
    check_places(family, photos, seen.generated(output).keys)


@pytest.mark.parametrize("name", FAMILIES)
def test_weights_are_those_of_eager_attention(name):
    family = make(name)
    inputs, output, seen = generate(family, family.photos())
    found = seen.generated(output)
    result = eager(family.model).generate(**inputs, **GREEDY, output_attentions=True, return_dict_in_generate=True)
    assert torch.equal(result.sequences, output)
    for step, layers in enumerate(result.attentions):
        wanted = torch.stack(layers, 1)[..., -1, :]
        mine = found.weights[..., step, :]
        torch.testing.assert_close(mine[..., : wanted.shape[-1]], wanted, atol=1e-5, rtol=0)
        assert not mine[..., wanted.shape[-1] :].any()


def test_one_image_of_several_is_laid_out_behind_all_other_tokens():
    family = make("qwen2-vl")
    _, output, seen = generate(family, family.photos())
    found = seen.generated(output)
    second = found.on("image", 1)
    assert second.keys.rows, second.keys.columns == (3, 5)
    assert len(second.keys) == output.shape[1]
    entries = list(found.keys.entries[1])
    torch.testing.assert_close(second.weights[..., -15:], found.weights[..., entries])
    torch.testing.assert_close(second.weights.sum(-1), found.weights.sum(-1))
    with pytest.raises(JumokError, match=r"there are 2 images here: choose one"):
        found.on("image")
    with pytest.raises(JumokError, match=r"image 2 is outside the 2 images"):
        found.on("image", 2)
    with pytest.raises(JumokError, match=r"wanted \.on"):
        found.on("sound")


def test_without_what_the_processor_did_no_place_is_guessed():
    family = make("qwen2-vl")
    inputs = family.inputs(family.photos(1))
    with torch.no_grad(), watch(family.model) as seen:
        output = family.model.generate(**inputs, **GREEDY)
    with pytest.raises(
        JumokError, match=r"no places of an image are known here: tokens of several inputs; .*trace_pixels"
    ):
        seen.generated(output).on("image")


def test_an_image_that_is_resized_and_cropped_is_seen_where_it_was():
    family = make("llava")
    family.processor = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    family.sizes, family.counts = [(64, 96)], [16]
    _, output, seen = generate(family, family.photos())
    keys = seen.generated(output).on("image").keys
    assert isinstance(keys, Regions)
    boxes = [box for box in keys.boxes if box is not None]
    assert boxes == [(row, column, row + 16, column + 16) for row in range(0, 64, 16) for column in range(16, 80, 16)]


def test_relevance_of_a_word_goes_to_the_places_that_the_language_model_read():
    family = make("llava")
    inputs = family.inputs(family.photos(1))
    with watch(family.model) as seen:
        logits = family.model(**inputs).logits
    found = seen.only("model.language_model").relevance(logits[0, -1].max(), query=-1).on("image")
    assert found.keys.rows, found.keys.columns == (4, 4)
    assert found.weights[..., -16:].gt(0).any()


def test_several_images_of_one_input_are_told_apart_without_the_processor():
    family = make("llava")
    inputs = family.inputs(family.photos())
    with torch.no_grad(), watch(family.model) as seen:
        output = family.model.generate(**inputs, **GREEDY)
    found = seen.generated(output)
    assert found.keys.images == (Patches(4, 4), Patches(4, 4))
    assert found.on("image", 1).keys == Patches(4, 4, special=found.on("image", 1).keys.special)


def test_places_of_an_encoder_that_words_are_written_from_are_those_of_their_pixels():
    """Florence-2: stages of overlapping patches, windows, attention between channels, and the mean of all places."""
    family = make_florence2()
    photos = family.photos()
    _, output, seen = generate(family, photos)
    keys = seen.alignment(output).keys
    assert isinstance(keys, Regions)
    check_places(family, photos, as_interleaved(keys))
    whole, *cells = [box for box in keys.boxes if box is not None]
    assert whole == (0, 0, 32, 48)
    assert cells == [(row, column, row + 8, column + 8) for row in range(0, 32, 8) for column in range(0, 48, 8)]


def test_weights_over_the_places_of_an_encoder_are_those_of_eager_attention():
    family = make_florence2()
    inputs, output, seen = generate(family, family.photos())
    found = seen.alignment(output)
    result = eager(family.model).generate(**inputs, **GREEDY, output_attentions=True, return_dict_in_generate=True)
    assert torch.equal(result.sequences, output)
    for step, layers in enumerate(result.cross_attentions):
        torch.testing.assert_close(found.weights[..., step, :], torch.stack(layers, 1)[..., -1, :], atol=1e-5, rtol=0)


# -- learnt tokens that read an image ------------------------------------------------------------


def generate_blip2(writes_with):
    family = make_blip2(writes_with)
    (photo,) = family.photos()
    ids = torch.tensor([[ID["<image>"]] * 5 + [ID["what"], ID["is"], ID["?"]]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), **family.read([photo])}
    with torch.no_grad(), watch(family.model, pixels=trace_pixels(family.processor, [photo], inputs)) as seen:
        output = family.model.generate(**inputs, **GREEDY)
    return family, inputs, output, seen


def test_learnt_queries_that_stand_for_an_image_are_no_places():
    _, _, output, seen = generate_blip2("OPT")
    found = seen.generated(output)
    assert found.keys.labels()[:6] == ["query1", "query2", "query3", "query4", "query5", "5"]
    with pytest.raises(JumokError, match=r"no places .* follow them with seen.through\(map\)"):
        found.on("image")


@pytest.mark.parametrize("writes_with", ["OPT", "T5"])
def test_words_are_followed_through_learnt_queries_to_the_places_that_these_read(writes_with):
    family, inputs, output, seen = generate_blip2(writes_with)
    words = seen.generated(output) if writes_with == "OPT" else seen.alignment(output)
    found = seen.through(words)
    assert found.keys == Patches(4, 4, special=(*words.keys.labels()[5:], "cls"))
    assert found.source.endswith("then the mean of qformer.encoder.layer.0.crossattention.attention to "
                                 "qformer.encoder.layer.2.crossattention.attention")  # fmt: skip
    torch.testing.assert_close(found.weights.sum(-1), words.weights.sum(-1))
    read = []
    model = eager(family.model)
    for layer in (model.qformer.encoder.layer[n].crossattention.attention for n in (0, 2)):
        layer.register_forward_hook(lambda module, args, made: read.append(made[1]))
    result = model.generate(**inputs, **GREEDY, output_attentions=True, return_dict_in_generate=True)
    steps = result.attentions if writes_with == "OPT" else result.cross_attentions
    shares = torch.stack(read).mean((0, 2))[:, None, None]
    for step, layers in enumerate(steps):
        looked = torch.stack(layers, 1)[..., -1:, :5] @ shares
        torch.testing.assert_close(found.weights[..., step, -17:], looked[..., 0, :], atol=1e-5, rtol=0)


def test_pixels_change_the_token_of_the_place_that_learnt_queries_are_said_to_read_there():
    family, _, output, seen = generate_blip2("OPT")
    keys = seen.through(seen.generated(output)).keys
    eye, (photo,) = silence(family).vision_model, family.photos()
    front = len(keys) - 16

    def see(image):
        with torch.no_grad():
            return eye(**family.read([image])).last_hidden_state[0]

    before = see(photo)
    for place in range(16):
        moved = (see(change(photo, keys.box(front + place, 32, 32))) != before).any(-1)
        assert moved.nonzero()[:, 0].tolist() == [1 + place]


def test_what_cannot_be_followed_through_learnt_queries_is_refused():
    _, inputs, output, seen = generate_blip2("OPT")
    words = seen.generated(output)
    with pytest.raises(JumokError, match="none of these 11 keys is a learnt token that was seen to read an image"):
        seen.through(seen.generated(output, tokens=[f"w{number}" for number in range(11)]))
    with pytest.raises(JumokError, match=r"2 keys are called 'query1'"):
        names = ("query1", *words.keys.labels()[:-1])
        seen.through(replace(words, keys=Tokens(names)))
    model = make_blip2().model
    with torch.no_grad(), watch(model) as seen:
        for _ in range(2):
            output = model.generate(**inputs, **GREEDY)
    with pytest.raises(JumokError, match="the image was read more than once: watch one"):
        seen.through(words)
