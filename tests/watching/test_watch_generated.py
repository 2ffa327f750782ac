"""Decoder-only models: the steps of generate() joined into one map."""

import pytest
import torch
from watched_models import eager, peaked

from jumok.errors import JumokError
from jumok.watching.watch import watch

transformers = pytest.importorskip("transformers")

PAD, END = 0, 2
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
WORDS = {"vocab_size": 40, "pad_token_id": PAD, "bos_token_id": 1, "eos_token_id": END}


def llama(**options):
    config = transformers.LlamaConfig(**{**SMALL, **WORDS, "num_key_value_heads": 2, **options})
    return peaked(transformers.LlamaForCausalLM(config))


def gpt2():
    return peaked(transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, **WORDS)))


def with_windows():
    """Every layer keeps the last three tokens alone."""
    config = transformers.MistralConfig(**SMALL, **WORDS, num_key_value_heads=2, sliding_window=3)
    return peaked(transformers.MistralForCausalLM(config))


def with_some_windows():
    """The first layer keeps the last four tokens, the other one all."""
    config = transformers.Gemma2Config(**SMALL, **WORDS, num_key_value_heads=2, sliding_window=4, head_dim=8)
    return peaked(transformers.Gemma2ForCausalLM._from_config(config, attn_implementation="eager"))


PROMPTS = torch.tensor([[PAD, PAD, 5, 6, 7], [8, 9, 10, 11, 12]])


def wanted(model, output):
    """One teacher-forced pass in eager attention, row by row shifted to the step that produced the token."""
    length = PROMPTS.shape[1]
    mask = (output != PAD).long()
    mask[:, length:] = 1
    places = (mask.cumsum(-1) - 1).masked_fill(mask == 0, 1)  # as generate() counts them
    result = eager(model)(output, attention_mask=mask, position_ids=places, output_attentions=True, use_cache=False)
    return torch.stack(result.attentions, 1)[:, :, :, length - 1 : -1]


@pytest.mark.parametrize("make", [llama, gpt2, with_windows, with_some_windows])
@pytest.mark.parametrize(
    "search",
    [
        {},
        {"num_beams": 3},
        {"num_beams": 3, "num_return_sequences": 2},
        {"use_cache": False},
        {"cache_implementation": "static"},
        {"do_sample": True, "num_return_sequences": 2},
    ],
    ids=["greedy", "beams", "two best", "no cache", "static cache", "two samples"],
)
def test_steps_are_joined_as_one_teacher_forced_pass(make, search):
    model = make()
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "suppress_tokens": [PAD], "do_sample": False, **search}
    with torch.no_grad(), watch(model) as seen:
        output = model.generate(input_ids=PROMPTS, attention_mask=(PROMPTS != PAD).long(), **options)
    found = seen.generated(output)
    times = len(output) // len(PROMPTS)
    assert found.lead == ("batch", "layer", "head")
    assert found.weights.shape == (2 * times, 2, 4, 5, 10)
    assert found.queries.labels() == ["5", "6", "7", "8", "9"]
    with torch.no_grad():
        right = wanted(model, output)
    torch.testing.assert_close(found.weights, right, atol=1e-5, rtol=1e-4)


def test_heads_are_heads_in_every_step():
    model = llama()
    with torch.no_grad(), watch(model) as seen:
        model.generate(
            input_ids=PROMPTS,
            attention_mask=(PROMPTS != PAD).long(),
            max_new_tokens=3,
            min_new_tokens=3,
            do_sample=False,
        )
    shapes = [tuple(seen[name].weights.shape) for name in seen.names]
    assert shapes == [(2, 4, 5, 5)] * 2 + [(2, 4, 1, 6)] * 2 + [(2, 4, 1, 7)] * 2


def test_words_and_what_does_not_fit():
    model = llama()
    with torch.no_grad(), watch(model) as seen:
        output = model.generate(input_ids=PROMPTS[1:], max_new_tokens=3, min_new_tokens=3, do_sample=False)
    words = [f"w{number}" for number in range(8)]
    assert seen.generated(output, tokens=words).queries.labels() == words[5:]
    with pytest.raises(JumokError, match="give one word for each"):
        seen.generated(output, tokens=words[1:])
    with pytest.raises(JumokError, match="shares only its first"):
        seen.generated(output.flip(1))


def test_steps_of_several_tokens_are_refused_with_the_reason():
    model, helper = llama(), llama(num_hidden_layers=1)
    with torch.no_grad(), watch(model) as seen:
        output = model.generate(input_ids=PROMPTS[1:], max_new_tokens=5, do_sample=False, assistant_model=helper)
    with pytest.raises(JumokError, match="took several tokens at once behind those that the cache kept"):
        seen.generated(output)


@pytest.mark.parametrize("how", ["embeddings", "a cache that was filled before"])
def test_a_prompt_whose_ids_were_not_seen_is_refused(how):
    model, prompt = llama(), PROMPTS[1:]
    options = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    with torch.no_grad():
        if how == "embeddings":
            given = {"inputs_embeds": model.get_input_embeddings()(prompt)}
        else:
            cache = model(prompt[:, :3], use_cache=True).past_key_values
            given = {"input_ids": prompt, "past_key_values": cache}
        with watch(model) as seen:
            output = model.generate(**given, attention_mask=torch.ones_like(prompt), **options)
    with pytest.raises(JumokError, match=r"tokens whose ids were seen by then|held the beginning of a prompt before"):
        seen.generated(output)
    assert seen[0].weights.shape[:2] == (1, 4), "heads are heads, though keys that were handed in differ among them"
