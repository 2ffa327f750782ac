"""Where a model looked for its answer: rows over the image, over the words, and of each word over the image."""

import unicodedata

import pytest
import torch
from question_helpers import ATTENDING, HEIGHT, SYSTEMS, WIDTH, settings_of, untrained, write_squares

from jumok.attention import One, Patches, Scale, Tokens
from jumok.data.images.reading import read_image
from jumok.errors import JumokError
from jumok.tasks.answer.looking import look
from jumok.watching.watch import watch

LEFT, RIGHT = "what colour is the left square?", "what colour is the right square?"
KOREAN = "왼쪽 네모는 무슨 색인가요?"
GRID = (4, 6)  # patches of 4 pixels
LOOKS = {
    "vqa-stacked": ["hop 1", "hop 2"],
    "vqa-transformer": ["relevance", "layer 1", "layer 2"],
    "vqa-question": [],
    "vqa-image": ["grad-cam"],
    "vqa-concat": ["grad-cam"],
}
BY_WORD = {"vqa-stacked": {"hop 1", "hop 2"}, "vqa-transformer": {"relevance", "layer 1", "layer 2"}}


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module")
def run_of(squares, tmp_path_factory):
    """Makes runs of systems, each once."""
    made = {}

    def make(system, name="", **changes):
        if (system, name) not in made:
            folder = tmp_path_factory.mktemp("runs") / f"{system}{name}"
            made[system, name] = untrained(folder, settings_of(squares, system=system, **changes))
        return made[system, name]

    return make


@pytest.fixture(scope="module")
def images(squares):
    return [read_image(squares / "images" / f"test-{number}.png") for number in range(4)]


def asked(run, images, *questions, **options):
    return look(run, [images[number % len(images)] for number in range(len(questions))], questions, **options)


EVERY = pytest.mark.parametrize("system", SYSTEMS)
LOOKING = pytest.mark.parametrize("system", ATTENDING)


# -- every system -------------------------------------------------------------------------------


@EVERY
def test_answers_are_those_of_asking(run_of, images, system):
    run = run_of(system)
    questions = [LEFT, KOREAN, "is there a circle?", "zebra"]
    for found, image, question in zip(asked(run, images, *questions), images, questions, strict=True):
        (reply,) = run.ask(image, [question], top=4)
        assert found.question == question
        assert found.reply.best == reply.best
        assert dict(found.reply.answers) == pytest.approx(dict(reply.answers), abs=1e-5)


@EVERY
def test_every_look_is_one_row_over_the_places(run_of, images, system):
    for found in asked(run_of(system), images, LEFT, "circle?", KOREAN):
        assert list(found.looks) == LOOKS[system]
        assert set(found.by_word) == BY_WORD.get(system, set())
        for name, map_ in found.looks.items():
            assert isinstance(map_.queries, One)
            assert isinstance(map_.keys, Patches)
            assert (map_.keys.rows, map_.keys.columns) == GRID
            assert tuple(map_.weights.shape) == (1, 24)
            assert map_.source == name
            assert not map_.weights.requires_grad
            assert map_.weights.isfinite().all()
            if map_.scale is Scale.DISTRIBUTION:
                assert float(map_.weights.sum()) == pytest.approx(1, abs=1e-5)
        assert set(found.by_word) <= set(found.looks)
        for name, map_ in found.by_word.items():
            assert map_.source == ("mean of the layers" if name == "relevance" else name), "what a word's own look is"


@EVERY
def test_the_words_are_those_that_were_asked(run_of, images, system):
    questions = ["What  Colour is THE left square?", "네모?", unicodedata.normalize("NFD", KOREAN)]
    for found, question in zip(asked(run_of(system), images, *questions), questions, strict=True):
        assert found.words == tuple(question.split())
        for map_ in found.by_word.values():
            assert isinstance(map_.queries, Tokens)
            assert tuple(map_.weights.shape) == (len(found.words), 24)
            torch.testing.assert_close(map_.weights.sum(1), torch.ones(len(found.words)), atol=1e-5, rtol=0)
        if system == "vqa-image":
            assert found.weights is None
            continue
        assert found.weights.keys.names == found.words
        assert tuple(found.weights.weights.shape) == (1, len(found.words))
        if found.weights.scale is Scale.DISTRIBUTION:
            assert float(found.weights.weights.sum()) == pytest.approx(1, abs=1e-5)


@EVERY
def test_together_is_as_one_by_one(run_of, images, system):
    run = run_of(system)
    questions = [LEFT, "circle?", KOREAN, RIGHT]
    for number, found in enumerate(asked(run, images, *questions)):
        (alone,) = look(run, [images[number]], [questions[number]])
        for one, other in ((found.looks, alone.looks), (found.by_word, alone.by_word)):
            assert one.keys() == other.keys()
            for name, map_ in one.items():
                torch.testing.assert_close(map_.weights, other[name].weights, atol=1e-4, rtol=1e-3)
        if found.weights is not None:
            torch.testing.assert_close(found.weights.weights, alone.weights.weights, atol=1e-4, rtol=1e-3)


@EVERY
def test_without_words_it_is_the_same_but_for_them(run_of, images, system):
    (whole,), (bare,) = (asked(run_of(system), images, LEFT, words=words) for words in (True, False))
    assert bare.by_word == {}
    assert list(bare.looks) == list(whole.looks)
    assert all(torch.equal(map_.weights, bare.looks[name].weights) for name, map_ in whole.looks.items())


@EVERY
def test_looking_leaves_the_model_as_it_was(run_of, images, system):
    run = run_of(system)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    asked(run, images, LEFT)
    assert not run.model.training
    assert all(value.grad is None for value in run.model.parameters())
    assert all(torch.equal(value, run.model.state_dict()[name]) for name, value in before.items())


@EVERY
@pytest.mark.parametrize("question", ["", " \t", "word " * 200])
def test_what_cannot_be_asked_is_one_line(run_of, images, system, question):
    with pytest.raises(JumokError, match=r"has no words|is too long") as told:
        asked(run_of(system), images, LEFT, question)
    assert "\n" not in str(told.value)


# -- what the question decides ------------------------------------------------------------------


@LOOKING
def test_two_questions_about_one_image_look_elsewhere(run_of, images, system):
    one, other = look(run_of(system), [images[0]] * 2, [LEFT, RIGHT])
    for name, map_ in one.looks.items():
        assert not torch.allclose(map_.weights, other.looks[name].weights, atol=1e-3), name
    again = look(run_of(system), [images[0]], [LEFT])[0]
    assert torch.allclose(again.looks[LOOKS[system][0]].weights, one.looks[LOOKS[system][0]].weights, atol=1e-5)


@LOOKING
@pytest.mark.parametrize("words", [23, 24, 25, 5, 6, 7, 4, 3, 1])
def test_as_many_words_as_places_rows_or_columns_are_not_mistaken_for_them(run_of, images, system, words):
    """With the start sign, 23 words are as many tokens as there are places."""
    run = run_of(system)
    question = " ".join(["what", "colour", "left"][number % 3] for number in range(words))
    (found,) = asked(run, images, question)
    (near,) = run.ask(images[0], [question], top=4)
    assert dict(found.reply.answers) == pytest.approx(dict(near.answers), abs=1e-5)
    for map_ in found.looks.values():
        assert (map_.keys.rows, map_.keys.columns) == GRID
    assert tuple(found.weights.weights.shape) == (1, words)
    reference = crossed(run, images[0], question) if system == "vqa-transformer" else hopped(run, images[0], question)
    for name, rows in reference.items():
        torch.testing.assert_close(found.looks[name].weights, rows[:1], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.by_word[name].weights, rows[1 : 1 + words], atol=1e-5, rtol=1e-4)


def crossed(run, image, question):
    """Each layer's cross-attention by the textbook, the mean over heads: (tokens, places), the start sign first."""
    kept = {}

    def keep(number):
        def hook(module, args, kwargs):
            kept[f"layer {number}"] = module.plain(*args)[1][0].mean(0).detach()

        return hook

    blocks = run.model.fusion.blocks
    handles = [
        block.cross.register_forward_pre_hook(keep(number), with_kwargs=True) for number, block in enumerate(blocks, 1)
    ]
    with torch.no_grad():
        run.model(run.prepare([image]), run.encode([question]))
    for handle in handles:
        handle.remove()
    return kept


def hopped(run, image, question):
    """Each hop's weights, of the question and then of its words as if each had been the question."""
    model, kept = run.model, {}
    with torch.no_grad():
        memory, read = model.see(run.prepare([image])).states, model.read(run.encode([question]))
        states = torch.cat([read.whole[:, None], read.states[:, 1:]], 1)
        for number, (hop, norm) in enumerate(zip(model.fusion.hops, model.fusion.norms, strict=True), 1):
            weights = hop.weights(norm(states), hop.project_keys(memory))
            kept[f"hop {number}"] = weights[0]
            states = states + weights @ memory
    return kept


@LOOKING
@pytest.mark.parametrize("kind", ["unigram", "characters"])
def test_pieces_of_words_are_merged_to_words(run_of, images, system, kind):
    run = run_of(system, kind, vocabulary=kind, vocabulary_size=40 if kind == "unigram" else None)
    for question in (LEFT, KOREAN, "is there a zebra?"):
        split = run.words.split(run.cased(question))
        assert len(split.owner) > len(split.words)
        (found,) = asked(run, images, question)
        assert found.words == tuple(question.split())
        rows = (crossed if system == "vqa-transformer" else hopped)(run, images[0], question)
        for name, row in rows.items():
            for word in range(len(found.words)):
                pieces = [1 + piece for piece, owner in enumerate(split.owner) if owner == word]
                torch.testing.assert_close(found.by_word[name].weights[word], row[pieces].mean(0), atol=1e-5, rtol=1e-4)
        if system == "vqa-stacked":
            with watch(run.model) as seen, torch.no_grad():
                run.model(run.prepare([images[0]]), run.encode([question]))
            pooled = seen["reader"].weights[0, 0, 1:]
            wanted = torch.zeros(len(found.words)).index_add_(0, torch.tensor(split.owner), pooled)
            torch.testing.assert_close(found.weights.weights[0], wanted)


@pytest.mark.parametrize(
    ("system", "options"),
    [
        ("vqa-stacked", {"reader": "transformer"}),
        ("vqa-stacked", {"hops": 1, "eye_layers": 1}),
        ("vqa-transformer", {"eye_layers": 0, "layers": 1}),
        ("vqa-transformer", {"eye": "patches", "layers": 3}),
        ("vqa-transformer", {"reader": "lstm"}),
        ("vqa-concat", {"reader": "transformer", "eye_layers": 1}),
        ("vqa-question", {"reader": "transformer"}),
        ("vqa-image", {"eye": "patches", "eye_layers": 1}),
    ],
)
def test_other_options_are_looked_at_too(run_of, images, system, options):
    run = run_of(system, str(options), options=options)
    for found in asked(run, images, LEFT, "circle?", KOREAN):
        assert bool(found.looks) == (system != "vqa-question")
        for map_ in found.looks.values():
            assert (map_.keys.rows, map_.keys.columns) == GRID
            assert map_.weights.isfinite().all()


def test_the_image_s_size_is_that_of_the_run(run_of, images):
    larger = torch.nn.functional.interpolate(images[0][None], scale_factor=3)[0]
    assert larger.shape[1:] == (3 * HEIGHT, 3 * WIDTH)
    (found,), (near,) = (look(run_of("vqa-stacked"), [image], [LEFT]) for image in (larger, images[0]))
    assert (found.looks["hop 1"].keys.rows, found.looks["hop 1"].keys.columns) == GRID
    assert found.reply.answers[0][1] == pytest.approx(near.reply.answers[0][1], abs=0.1)
