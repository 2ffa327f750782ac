"""The steps of `generate()` joined into one alignment, against the cross-attention of a teacher-forced pass."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from jumok.attention import Patches, Tokens
from jumok.errors import JumokError
from jumok.watching import decoder_steps
from jumok.watching.watch import watch
from jumok.watching.watchers import report

transformers = pytest.importorskip("transformers")

WORDS, START, END, PAD = 40, 2, 2, 1
SIZES = {
    "vocab_size": WORDS, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 32,
    "pad_token_id": PAD, "bos_token_id": 0, "eos_token_id": END, "decoder_start_token_id": START,
}  # fmt: skip
LONGEST = 12
END_BIAS = {"bart": 1.0, "marian": 3.0, "t5": 1.0}  # so that outputs end at different lengths


def peaked(model, seed=0):
    """Random-init attention is nearly uniform, and a random-init model repeats itself; larger weights vary."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval()


def bart(layers=2):
    sizes = {**SIZES, "decoder_layers": layers, "tie_word_embeddings": False}
    return peaked(transformers.BartForConditionalGeneration(transformers.BartConfig(**sizes)))


def marian():
    sizes = {
        **SIZES,
        "pad_token_id": WORDS - 1,
        "eos_token_id": 0,
        "decoder_start_token_id": WORDS - 1,
        "tie_word_embeddings": False,
    }
    return peaked(transformers.MarianMTModel(transformers.MarianConfig(**sizes)))


def t5():
    config = transformers.T5Config(
        vocab_size=WORDS, d_model=32, d_kv=8, d_ff=32, num_layers=2, num_heads=4, pad_token_id=0,
        eos_token_id=1, decoder_start_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    return peaked(transformers.T5ForConditionalGeneration(config))


MODELS = {"bart": bart, "marian": marian, "t5": t5}


def sources(model, lengths=(7, 4, 9)):
    """A batch of sources of different lengths: ids and attention mask."""
    generator = torch.Generator().manual_seed(5)
    pad, end = model.config.pad_token_id, model.config.eos_token_id
    ids = torch.full((len(lengths), max(lengths)), pad)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(3, WORDS - 2, (length,), generator=generator)
        ids[row, length - 1] = end
    return {"input_ids": ids, "attention_mask": (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()}


def teacher_forced(model, batch, output):
    """(outputs, layers, heads, tokens - 1, keys), by the model's own eager attention; zeros where an output ended."""
    other = copy.deepcopy(model)
    other.set_attn_implementation("eager")
    many = len(output) // len(batch["input_ids"])
    repeated = {name: tensor.repeat_interleave(many, 0) for name, tensor in batch.items()}
    with torch.no_grad():
        maps = other(**repeated, decoder_input_ids=output[:, :-1], output_attentions=True).cross_attentions
    weights = torch.stack(maps, 1)
    for row, tokens in enumerate(output.tolist()):
        ended = [place for place, token in enumerate(tokens) if token == model.config.eos_token_id and place > 0]
        weights[row, :, :, ended[0] if ended else len(tokens) :] = 0
    return weights


def generate(model, batch, **options):
    end, pad = model.config.eos_token_id, model.config.pad_token_id
    options = {
        "max_length": LONGEST, "do_sample": False, "num_beams": 1, "no_repeat_ngram_size": 2, "bad_words_ids": [[pad]],
        "min_length": 4, "sequence_bias": {(end,): END_BIAS[model.config.model_type]}, **options,
    }  # fmt: skip
    with torch.no_grad():
        return model.generate(**batch, **options)


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


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "uncached"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
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


def test_a_prompt_in_a_static_cache_is_lost_and_says_so():
    model = bart()
    with watch(model) as seen:
        output = generate(
            model, sources(model), cache_implementation="static", decoder_input_ids=torch.tensor([[START, 7, 11]] * 3)
        )
    with pytest.raises(JumokError, match="changed in place"):
        seen.alignment(output)


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


# -- decoders of other make ---------------------------------------------------------------------


class Translator(nn.Module):
    """PyTorch's own Transformer; decoded by a loop that feeds the whole prefix again."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, 16, padding_idx=PAD)
        self.places = nn.Embedding(32, 16)
        self.transformer = nn.Transformer(16, 4, 2, 2, 32, dropout=0.0, batch_first=True)

    def embed(self, ids):
        return self.words(ids) + self.places(torch.arange(ids.shape[1])[None].expand(len(ids), -1))

    def encode(self, source, mask):
        return self.transformer.encoder(self.embed(source), src_key_padding_mask=~mask.bool())

    def decode(self, ids, memory, mask):
        causal = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        padding = ~mask.bool()
        return self.transformer.decoder(self.embed(ids), memory, causal, memory_key_padding_mask=padding)

    def forward(self, source, mask, ids):
        return self.decode(ids, self.encode(source, mask), mask) @ self.words.weight.T

    def greedy(self, source, mask, again):
        ids = torch.full((len(source), 1), START)
        memory = None if again else self.encode(source, mask)
        for _ in range(8):
            memory = self.encode(source, mask) if again else memory
            logits = self.decode(ids, memory, mask)[:, -1] @ self.words.weight.T
            taken = torch.zeros_like(logits).scatter_(1, ids, torch.inf)
            ids = torch.cat([ids, (logits - taken).argmax(-1, keepdim=True)], 1)
        return ids


@pytest.mark.parametrize("again", [False, True], ids=["encoded once", "encoded at each step"])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_loop_around_pytorchs_transformer(again):
    model = peaked(Translator())
    batch = sources(bart())
    with torch.no_grad(), watch(model) as seen:
        output = model.greedy(batch["input_ids"], batch["attention_mask"], again)
    with torch.no_grad(), watch(model) as once:
        model(batch["input_ids"], batch["attention_mask"], output[:, :-1])
    names = [f"transformer.decoder.layers.{number}.multihead_attn" for number in range(2)]
    wanted = torch.stack([once[name].weights for name in names], 1)
    torch.testing.assert_close(seen.alignment(output).weights, wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(once.alignment(output).weights, wanted, atol=1e-6, rtol=1e-5)


class Stepping(nn.Module):
    """A decoder layer with a cache that its own beam search reorders by plain indexing, beams in rows of their own."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, 16)
        self.inner, self.outer = nn.Linear(16, 48), nn.Linear(16, 48)

    def attend(self, query, key, value):
        split = [tensor.unflatten(-1, (2, 8)).transpose(1, 2) for tensor in (query, key, value)]
        return F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(-2)

    def forward(self, ids, cache, memory):
        hidden = self.words(ids)
        query, key, value = self.inner(hidden).chunk(3, -1)
        cache = torch.cat([cache, torch.cat([key, value], -1)], 1)
        hidden = hidden + self.attend(query, *cache.chunk(2, -1))
        _, key, value = self.outer(memory).chunk(3, -1)
        hidden = hidden + self.attend(self.outer(hidden)[..., :16], key, value)
        return hidden[:, -1] @ self.words.weight.T, cache


def test_a_beam_search_of_another_make_with_a_cache():
    model = peaked(Stepping())
    memory = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1)).repeat_interleave(3, 0)
    ids, cache = torch.full((6, 1), START), torch.zeros(6, 0, 32)
    scores = torch.tensor([0.0, -1e9, -1e9]).repeat(2)
    with torch.no_grad(), watch(model) as seen:
        for _ in range(7):
            logits, cache = model(ids[:, -1:], cache, memory)
            logits = logits.scatter(1, ids, -torch.inf)
            best = (scores[:, None] + logits.log_softmax(-1)).view(2, -1).topk(3)
            parents = best.indices // WORDS + torch.arange(0, 6, 3)[:, None]
            scores, parents, tokens = best.values.flatten(), parents.flatten(), (best.indices % WORDS).flatten()
            ids, cache = torch.cat([ids[parents], tokens[:, None]], 1), cache[parents]
    joined = seen.alignment(ids[[0, 3]])
    for output, row in ((ids[0], 0), (ids[3], 3)):
        cache = torch.zeros(1, 0, 32)
        with torch.no_grad(), watch(model) as alone:
            for token in output[:-1]:
                _, cache = model(token[None, None], cache, memory[row : row + 1])
        wanted = torch.cat([alone[number].weights for number in range(1, len(alone), 2)], -2)
        torch.testing.assert_close(joined.weights[row // 3, 0], wanted[0], atol=1e-6, rtol=1e-5)


class Reporting(nn.Module):
    """A mechanism that tells of one map for a whole pass, as a recurrent decoder of ours does."""

    def __init__(self):
        super().__init__()
        self.source, self.target = nn.Embedding(WORDS, 8), nn.Embedding(WORDS, 8, padding_idx=PAD)

    def forward(self, source, target):
        weights = (self.target(target) @ self.source(source).transpose(1, 2)).softmax(-1)
        report(weights)
        return weights


def test_a_pass_that_was_reported_as_one_map():
    model = Reporting()
    source, output = torch.randint(3, WORDS, (2, 6)), torch.tensor([[START, 5, 6, 7, END], [START, 8, END, PAD, PAD]])
    with torch.no_grad(), watch(model) as seen:
        weights = model(source, output[:, :-1])
    joined = seen.alignment(output).at(layer=0, head=0)
    assert torch.equal(joined.weights[0], weights[0])
    assert torch.equal(joined.weights[1, :2], weights[1, :2])
    assert (joined.weights[1, 2:] == 0).all()


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
