"""Systems that answer questions about images: what they compute, what they share, and what `watch` sees of them."""

import pytest
import torch
from pydantic import ValidationError
from question_helpers import ATTENDING, OPTIONS, SYSTEMS, wilder
from torch.nn import functional as F

from jumok import systems
from jumok.attention import Patches
from jumok.errors import JumokError
from jumok.special_tokens import PAD, SOS, UNK
from jumok.systems.vqa import VQA, VQAConfig
from jumok.tasks.running.run import configure_system
from jumok.watching.watch import watch

SIZE = (16, 24)
SMALL = {"answers": 5, "words": 12, "image_size": SIZE, "width": 16, "heads": 2, "patch": 4}
VARIANTS = {
    **{name: (name, {}) for name in SYSTEMS},
    "stacked, patches": ("vqa-stacked", {"eye": "patches", "hops": 3}),
    "stacked, transformer reads": ("vqa-stacked", {"reader": "transformer", "layers": 1}),
    "transformer, lstm reads": ("vqa-transformer", {"reader": "lstm", "eye_layers": 0}),
    "transformer, one block": ("vqa-transformer", {"layers": 1, "eye": "patches"}),
    "concat, own pixels": ("vqa-concat", {"patch": 1}),
}
EVERY = pytest.mark.parametrize("name", VARIANTS)
READING = pytest.mark.parametrize("name", [name for name in VARIANTS if name != "vqa-image"])
LOOKING = pytest.mark.parametrize("name", [name for name, (kind, _) in VARIANTS.items() if kind in ATTENDING])
QUESTIONS = torch.tensor([[SOS, 5, 6, 7], [SOS, 4, PAD, PAD], [SOS, 8, 9, PAD]])
PAIRS = torch.tensor([[0, 1], [2, 0], [0, 2], [2, 1], [0, 0]])  # nobody asks about image 1


def model(name, seed=0, by=0.3, **options):
    kind, own = VARIANTS[name]
    torch.manual_seed(seed)
    made = systems.build(kind, configure_system(kind, {**SMALL, **OPTIONS[kind], **own, **options}))
    return (wilder(made, by) if by else made).eval()


def pixels(count=3, height=SIZE[0], width=SIZE[1], seed=1):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


# -- what is computed ---------------------------------------------------------------------------


@EVERY
def test_a_batch_answers_as_one_by_one(name):
    vqa, images = model(name), pixels()
    together = vqa(images, QUESTIONS)
    assert together.shape == (3, 5)
    for number, question in enumerate(QUESTIONS):
        alone = vqa(images[number : number + 1], question[question != PAD][None])
        torch.testing.assert_close(together[number : number + 1], alone, atol=1e-5, rtol=1e-5)


@EVERY
@pytest.mark.parametrize("training", [True, False])
def test_images_and_questions_that_are_shared_answer_as_their_copies(name, training):
    vqa = model(name, dropout=0.0, word_dropout=0.0).double()
    vqa.train(training)
    freeze_norms(vqa)
    images, target = pixels().double(), torch.tensor([0, 1, 2, 3, 4])
    found = []
    for given in ((images, QUESTIONS, PAIRS), (images[PAIRS[:, 0]], QUESTIONS[PAIRS[:, 1]])):
        vqa.zero_grad()
        logits = vqa(*given)
        F.cross_entropy(logits, target).backward()
        found.append((logits.detach(), {path: value.grad for path, value in vqa.named_parameters()}))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-9, atol=1e-10)
    for path, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][path], rtol=1e-7, atol=1e-10, msg=path)


@EVERY
def test_training_without_dropout_computes_what_use_does(name):
    """The last block computes the start token only; examples that share an image stand in one row."""
    vqa = model(name, dropout=0.0, word_dropout=0.0).double()
    freeze_norms(vqa)
    images, target, found = pixels().double(), torch.tensor([0, 1, 2, 3, 4]), []
    for training in (True, False):
        vqa.train(training)
        freeze_norms(vqa)
        vqa.zero_grad()
        logits = vqa(images, QUESTIONS, PAIRS)
        F.cross_entropy(logits, target).backward()
        found.append((logits.detach(), {path: value.grad.clone() for path, value in vqa.named_parameters()}))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-9, atol=1e-10)
    for path, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][path], rtol=1e-7, atol=1e-10, msg=path)


def test_in_training_the_last_block_makes_nothing_but_what_is_read():
    vqa, made = model("vqa-transformer"), []
    for block in vqa.fusion.blocks:
        block.register_forward_hook(lambda _module, _given, output: made.append(output.shape[1]))
    vqa.train()(pixels(), QUESTIONS)
    vqa.eval()(pixels(), QUESTIONS)
    assert made == [4, 1, 4, 4]


def freeze_norms(vqa):
    """BatchNorm counts an image twice that is given twice: leave its means alone."""
    for module in vqa.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()


@EVERY
def test_it_is_seen_and_read_once_and_asked_in_parts(name):
    vqa, images = model(name), pixels()
    places, question = vqa.see(images), vqa.read(QUESTIONS)
    assert (places is None) == (name == "vqa-question")
    assert (question is None) == (name == "vqa-image")
    torch.testing.assert_close(
        torch.cat([vqa.answer(places, question, pair[None]) for pair in PAIRS]),
        vqa(images, QUESTIONS, PAIRS),
        atol=1e-5,
        rtol=1e-5,
    )


@READING
def test_padding_changes_no_answer(name):
    vqa = model(name)
    images = pixels()
    longer = F.pad(QUESTIONS, (0, 5), value=PAD)
    torch.testing.assert_close(vqa(images, longer), vqa(images, QUESTIONS), atol=1e-5, rtol=1e-5)


@READING
def test_words_and_their_order_matter(name):
    vqa, images = model(name), pixels(1)
    answers = [vqa(images, torch.tensor([[SOS, *words]])) for words in ([5, 6, 7], [7, 6, 5], [5, 6, 8])]
    assert not torch.allclose(answers[0], answers[1], atol=1e-3)
    assert not torch.allclose(answers[0], answers[2], atol=1e-3)


@EVERY
def test_who_does_not_look_or_read_does_not(name):
    vqa, images = model(name), pixels()
    blind = torch.allclose(vqa(images, QUESTIONS), vqa(images.roll(1, 0), QUESTIONS))
    deaf = torch.allclose(vqa(images, QUESTIONS), vqa(images, QUESTIONS.flip(0)))
    assert blind == (name == "vqa-question")
    assert deaf == (name == "vqa-image")


@EVERY
def test_unknown_words_and_the_start_sign_alone_are_answered(name):
    vqa = model(name)
    for ids in ([[SOS, UNK, UNK]], [[SOS]], [[SOS, UNK, 5]]):
        assert vqa(pixels(1), torch.tensor(ids)).isfinite().all()


@EVERY
def test_other_sizes_of_images_than_trained_on(name):
    vqa = model(name)
    for height, width in ((16, 16), (32, 24), (20, 44), (17, 23), (9, 64)):
        with watch(vqa) as seen:
            assert vqa(pixels(3, height, width), QUESTIONS).isfinite().all()
        if VARIANTS[name][0] in ATTENDING:
            side, cut = vqa.config.side, vqa.config.eye == "patches"
            grid = tuple(length // side if cut else -(-length // side) for length in (height, width))
            look = seen[next(path for path in seen.names if "cross" in path or "hops" in path)]
            assert (look.keys.rows, look.keys.columns) == grid


@EVERY
def test_an_image_smaller_than_a_patch_is_seen_by_convolutions_and_refused_by_what_cuts(name):
    if name == "vqa-question":
        return
    assert model(name, eye="convolutions", patch=4)(pixels(3, 3, 2), QUESTIONS).isfinite().all()
    with pytest.raises(JumokError, match="images of 3 x 2 pixels are smaller than one patch of 4"):
        model(name, eye="patches", patch=4)(pixels(3, 3, 2), QUESTIONS)


def test_what_does_not_fill_a_patch_is_cut_off():
    vqa = model("stacked, patches", image_size=(18, 27))
    assert vqa.config.grid == (4, 6)
    images = pixels(3, 18, 27)
    other = images.clone()
    other[:, :, 16:], other[:, :, :, 24:] = 9, -9
    assert torch.equal(vqa(images, QUESTIONS), vqa(other, QUESTIONS))


# -- learning -----------------------------------------------------------------------------------


@EVERY
def test_every_parameter_learns(name):
    vqa = model(name, by=0, dropout=0.0, word_dropout=0.0).train()
    F.cross_entropy(vqa(pixels(), QUESTIONS, PAIRS), torch.tensor([0, 1, 2, 3, 4])).backward()
    for path, parameter in vqa.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.abs().sum() > 0, path


@READING
def test_words_are_unknown_at_times_in_training_only(name):
    vqa = model(name, dropout=0.0, word_dropout=0.5)
    given = []
    vqa.reader.embedding.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    torch.manual_seed(0)
    vqa.train().read(QUESTIONS.repeat(200, 1))
    vqa.eval().read(QUESTIONS)
    lost = given[0] == UNK
    assert 0.4 < float(lost[QUESTIONS.repeat(200, 1) > SOS].float().mean()) < 0.6
    assert not lost[QUESTIONS.repeat(200, 1) <= SOS].any()  # neither the start token nor padding
    assert torch.equal(given[1], QUESTIONS)


# -- what is seen of it -------------------------------------------------------------------------


@EVERY
def test_watched_and_unwatched_answers_are_the_same_bits(name):
    vqa, images = model(name), pixels()
    with torch.no_grad():
        unwatched = vqa(images, QUESTIONS, PAIRS)
        with watch(vqa):
            watched = vqa(images, QUESTIONS, PAIRS)
    assert torch.equal(watched, unwatched)


@LOOKING
def test_every_look_is_a_distribution_over_the_right_grid(name):
    vqa = model(name)
    with watch(vqa) as seen, torch.no_grad():
        vqa(pixels(), QUESTIONS, PAIRS)
    looks = {path: seen[path] for path in seen.names if path.startswith("fusion") and not path.endswith(".attn")}
    assert len(looks) == (vqa.config.hops if vqa.config.fusion == "stacked" else vqa.config.layers)
    for look in looks.values():
        assert isinstance(look.keys, Patches)
        assert (look.keys.rows, look.keys.columns) == (4, 6)
        assert look.weights.shape[0] == len(PAIRS)
        torch.testing.assert_close(look.weights.sum(-1), torch.ones(look.weights.shape[:-1]))
        assert (look.weights >= 0).all()
    first = next(iter(looks.values())).weights
    first = first.reshape(len(PAIRS), -1, 24) if first.dim() == 3 else first.mean(1)
    assert (first[0, 0] - first[4, 0]).abs().max() > 1e-3  # another question about the same image
    assert (first[0, 0] - first[3, 0]).abs().max() > 1e-3  # the same question about another image


def test_an_lstm_s_question_is_weighted_over_its_words_only():
    vqa = model("vqa-stacked")
    with watch(vqa) as seen, torch.no_grad():
        vqa.read(torch.cat([QUESTIONS, torch.tensor([[SOS, PAD, PAD, PAD]])]))
    weights = seen["reader"].weights[:, 0]
    torch.testing.assert_close(weights.sum(1), torch.ones(4))
    assert not weights[:3, 0].any()
    assert not weights[1, 2:].any()
    assert weights[3].tolist() == [1, 0, 0, 0]


def test_a_stacked_hop_reports_what_it_used_and_each_word_as_if_it_had_asked():
    vqa, images = model("vqa-stacked"), pixels()
    with watch(vqa) as seen, torch.no_grad():
        vqa(images, QUESTIONS, PAIRS)
        places, question = vqa.see(images), vqa.read(QUESTIONS)
    state, states = question.whole[PAIRS[:, 1]], question.states[PAIRS[:, 1]]
    for number, (hop, norm) in enumerate(zip(vqa.fusion.hops, vqa.fusion.norms, strict=True)):
        told = seen[f"fusion.hops.{number}"] if f"fusion.hops.{number}" in seen.names else None
        told = told or seen[[path for path in seen.names if path.startswith("fusion.hops")][number]]
        memory = places.states[PAIRS[:, 0]]
        with torch.no_grad():
            whole = hop.weights(norm(state[:, None]), hop.project_keys(memory))
            each = hop.weights(norm(states), hop.project_keys(memory))
        torch.testing.assert_close(told.weights, torch.cat([whole, each], 1), atol=1e-5, rtol=1e-4)
        state, states = state + (whole @ memory)[:, 0], states + each @ memory


# -- what does not fit --------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((torch.zeros(2, 3, 16, 24), QUESTIONS), "got 2 images and 3 questions: wanted the same number, or pairs"),
        ((torch.zeros(3, 1, 16, 24), QUESTIONS), r"\(3, 1, 16, 24\), wanted \(batch, 3, height, width\)"),
        ((torch.zeros(3, 16, 24), QUESTIONS), r"\(3, 16, 24\), wanted \(batch, 3, height, width\)"),
        ((torch.zeros(3, 3, 16, 24, dtype=torch.uint8), QUESTIONS), "pixels are torch.uint8, wanted float"),
        ((torch.zeros(3, 3, 16, 24), QUESTIONS[0]), r"ids \(questions, words\) of int64, got .* of shape \(4,\)"),
        ((torch.zeros(3, 3, 16, 24), QUESTIONS.float()), "of int64, got torch.float32"),
        ((torch.zeros(3, 3, 16, 24), QUESTIONS[:, :0]), r"of shape \(3, 0\)"),
        ((torch.zeros(3, 3, 16, 24), QUESTIONS + 5), "beyond this vocabulary of 12"),
        ((torch.zeros(3, 3, 16, 24), QUESTIONS - 1), "beyond this vocabulary of 12"),
        ((torch.zeros(3, 3, 16, 24), QUESTIONS * torch.tensor([[0], [1], [1]])), "a question is empty"),
        ((torch.zeros(3, 3, 16, 24), QUESTIONS, PAIRS[:, 0]), r"pairs are \(asked, 2\) of int64, got .* shape \(5,\)"),
        ((torch.zeros(3, 3, 16, 24), QUESTIONS, PAIRS.float()), "pairs are .* got torch.float32"),
        ((torch.zeros(3, 3, 16, 24), QUESTIONS, PAIRS[:0]), r"pairs are .* shape \(0, 2\)"),
        ((torch.zeros(2, 3, 16, 24), QUESTIONS, PAIRS), "to image 2 and question 2, wanted numbers of 2 images and 3"),
        ((torch.zeros(3, 3, 16, 24), QUESTIONS[:2], PAIRS), "wanted numbers of 3 images and 2 questions"),
        ((torch.zeros(3, 3, 16, 24), QUESTIONS, PAIRS - 1), "pairs go from -1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(name, given, said):
    with pytest.raises(JumokError, match=said) as told:
        model(name, by=0)(*given)
    assert "\n" not in str(told.value)


def test_a_transformer_reads_no_more_than_it_has_places_for():
    vqa = model("vqa-transformer", longest=4)
    vqa(pixels(), QUESTIONS)
    with pytest.raises(JumokError, match="has 5 tokens, the start token counted, and this model reads 4: shorten it"):
        vqa(pixels(), F.pad(QUESTIONS, (0, 1), value=5))
    assert model("vqa-stacked", longest=4)(pixels(), F.pad(QUESTIONS, (0, 9), value=5)).isfinite().all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"heads": 3}, "heads 3 do not divide width 16"),
        ({"patch": 6}, "patch 6 is not a power of 2"),
        ({"answers": 1}, "answers"),
        ({"words": 4}, "words"),
        ({"image_size": (16, 0)}, "image_size"),
        ({"fusion": "bilinear"}, "fusion"),
        ({"dropout": 1.0}, "dropout"),
        ({"hop": 3}, "hop"),
        ({"patch": 32, "eye": "patches"}, "is smaller than one patch of 32"),
    ],
)
def test_options_that_do_not_fit(options, said):
    with pytest.raises((JumokError, ValidationError), match=said):
        VQA(VQAConfig(**{**SMALL, **options}))


@pytest.mark.parametrize(
    ("size", "side", "grid"),
    [
        (64, 8, (8, 8)), (75, 8, (10, 10)), (224, 16, (14, 14)), ((64, 128), 8, (8, 16)), (4, 1, (4, 4)),
        (2048, 32, (64, 64)),
    ],
)  # fmt: skip
def test_places_follow_from_the_size_of_the_image(size, side, grid):
    config = VQAConfig(answers=2, words=9, image_size=size, width=16)
    assert (config.side, config.grid) == (side, grid)
    if max(grid) < 20:
        height, width = (size, size) if isinstance(size, int) else size
        places = VQA(config).eval().see(pixels(1, height, width))
        assert (places.rows, places.columns) == grid
        assert places.states.shape == (1, grid[0] * grid[1], 16)
