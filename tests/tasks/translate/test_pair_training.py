import csv
from types import SimpleNamespace

import pytest
import torch
from breaking import At, Stop, end_after, same_end, stop
from pair_helpers import PairJob, settings_of, write_reversed

from jumok.data.pairs.batches import PairBatch
from jumok.special_tokens import PAD
from jumok.tasks.translate import prepare
from jumok.tasks.translate.run import PairRun
from jumok.tasks.translate.scores import sentence_chrf
from jumok.tasks.translate.settings import RunConfig


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return write_reversed(tmp_path_factory.mktemp("few") / "pairs", train=60)


@pytest.fixture
def module_of(few):
    """A translator in training, outside any trainer."""

    def make(system="seq2seq", world_size=1, dropout=0.0, **training):
        options = {"dropout": dropout} | ({"word_dropout": 0.0} if system == "seq2seq" else {})
        prepared = prepare.prepare(settings_of(few, system=system, options=options, training=training))
        module = prepared.module()
        module.trainer = SimpleNamespace(world_size=world_size, global_step=0)
        return module.train(), prepared

    return make


# -- the loss ----------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["seq2seq", "transformer"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_smoothed_cross_entropy_per_real_token(module_of, system, smoothing):
    module, prepared = module_of(system, label_smoothing=smoothing)
    batch = max(prepared.train, key=lambda batch: int((batch.target == PAD).sum()))
    assert (batch.target == PAD).any()
    log_p = module.model(batch.source, batch.target[:, :-1]).log_softmax(-1)
    total, tokens = 0.0, 0
    for row, wanted in zip(log_p, batch.target[:, 1:].tolist(), strict=True):
        for step, token in zip(row.detach(), wanted, strict=True):
            if token != PAD:
                total -= float((1 - smoothing) * step[token] + smoothing * step.mean())
                tokens += 1
    assert tokens == batch.count
    torch.testing.assert_close(float(module.loss(batch).detach()), total / tokens, rtol=1e-5, atol=0)


def test_padding_changes_no_gradient(module_of):
    module, prepared = module_of()
    batch = next(iter(prepared.train))
    longer = PairBatch(
        torch.nn.functional.pad(batch.source, (0, 3)), torch.nn.functional.pad(batch.target, (0, 2)), batch.indices
    )
    gradients = []
    for some in (batch, longer):
        module.zero_grad()
        module.loss(some).backward()
        gradients.append([value.grad.clone() for value in module.model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_the_shares_of_two_processes_average_to_the_whole(module_of, few, monkeypatch):
    module, prepared = module_of()
    whole = next(iter(prepared.train))
    parts = [
        PairBatch(whole.source[rank::2], whole.target[rank::2], whole.indices[rank::2], total=whole.count)
        for rank in range(2)
    ]
    assert parts[0].count != parts[1].count or len(whole.source) % 2 == 0
    expected = module.loss(whole)
    monkeypatch.setenv("WORLD_SIZE", "2")
    torch.testing.assert_close((module.loss(parts[0]) + module.loss(parts[1])) / 2, expected)


# -- own words ---------------------------------------------------------------------------------


def test_by_default_the_true_words_are_fed(module_of):
    module, prepared = module_of()
    assert module._draw_own_words(next(iter(prepared.train)).target[:, 1:]) is None


def test_a_share_of_the_sentences_is_fed_the_model_s_own_words(module_of):
    module, _ = module_of(teacher_forcing=0.25)
    torch.manual_seed(0)
    own = module._draw_own_words(torch.zeros(4000, 3, dtype=torch.int64))
    assert bool((own.all(1) | ~own.any(1)).all())
    assert float(own[:, 0].float().mean()) == pytest.approx(0.75, abs=0.03)
    module, _ = module_of(teacher_forcing=0)
    assert bool(module._draw_own_words(torch.zeros(5, 3)).all())


def test_sampling_grows_to_its_share(module_of):
    module, _ = module_of(sampling=0.5)
    shares = []
    for step in (0, module.steps // 2, module.steps):
        module.trainer = SimpleNamespace(world_size=1, global_step=step)
        shares.append(float(module._draw_own_words(torch.zeros(500, 20)).float().mean()))
    assert shares[0] == 0
    assert shares[1:] == pytest.approx([0.25, 0.5], abs=0.03)


def test_fed_its_own_words_the_model_is_trained_on_what_it_would_have_said(module_of):
    module, prepared = module_of(teacher_forcing=0, label_smoothing=0)
    batch = next(iter(prepared.train))
    with torch.no_grad():
        read = batch.target[:, :1]
        for _ in range(batch.target.shape[1] - 2):
            read = torch.cat([read, module.model(batch.source, read)[:, -1:].argmax(-1)], 1)
        logits = module.model(batch.source, read)
    wanted = batch.target[:, 1:]
    real = wanted != PAD
    expected = torch.nn.functional.cross_entropy(logits[real], wanted[real])
    torch.testing.assert_close(module.loss(batch).detach(), expected, rtol=1e-5, atol=1e-6)
    module.training_config = module.training_config.model_copy(update={"teacher_forcing": 1.0})
    assert abs(module.loss(batch).item() - expected.item()) > 1e-4


# -- the validation ----------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "there"), [(5, 60), (60, 60), (1, 60), (500, 60), (7, 10)])
def test_sentences_to_translate_are_taken_evenly_whatever_the_batches(module_of, wanted, there):
    module, _ = module_of(validate_with=wanted)
    module._sentences = there
    chosen = module._select_translated(torch.arange(there))
    assert int(chosen.sum()) == min(wanted, there)
    gaps = chosen.nonzero()[:, 0].diff()
    assert not len(gaps) or int(gaps.max() - gaps.min()) <= 1


def test_figures_of_the_validation_are_those_worked_out_by_hand(reverser):
    rows = list(csv.DictReader((reverser / "metrics.csv").open()))
    assert list(rows[0]) == ["epoch", "step", "lr", "train_loss", "val_loss", "val_accuracy", "val_chrf", "val_exact"]
    best = max(rows, key=lambda row: (float(row["val_chrf"]), -float(row["val_loss"])))
    run = PairRun.load(reverser)
    val = prepare.find_parts(run.config.data, run.config.training.seed)["val"]
    found = [best.text for best in run.translate(val.sources, beam=1)]
    chrf = [sentence_chrf(got, text) for got, text in zip(found, val.targets, strict=True)]
    assert sum(chrf) / len(chrf) == pytest.approx(float(best["val_chrf"]), abs=1e-4)
    exact = sum(got == text for got, text in zip(found, val.targets, strict=True)) / len(val)
    assert exact == pytest.approx(float(best["val_exact"]), abs=1e-6)
    encoded, _ = prepare.encode(run.config.data, {"train": val, "val": val}, run.source, run.target)
    _, batches = prepare.batches(run.config, encoded)
    losses, right = [], []
    with torch.no_grad():
        for batch in batches:
            wanted = batch.target[:, 1:]
            logits = run.model(batch.source, batch.target[:, :-1])[wanted != PAD]
            losses.append(torch.nn.functional.cross_entropy(logits, wanted[wanted != PAD], reduction="none"))
            right.append(logits.argmax(-1) == wanted[wanted != PAD])
    assert float(torch.cat(losses).mean()) == pytest.approx(float(best["val_loss"]), abs=1e-5)
    assert float(torch.cat(right).float().mean()) == pytest.approx(float(best["val_accuracy"]), abs=1e-6)


def test_better_is_the_higher_chrf_and_then_the_lower_loss(module_of):
    module, _ = module_of()
    good = {"val_chrf": 50.0, "val_loss": 2.0}
    assert module.goodness(good) > module.goodness({"val_chrf": 49.0, "val_loss": 1.0})
    assert module.goodness(good) < module.goodness({"val_chrf": 50.0, "val_loss": 1.9})


# -- stopped and gone on -----------------------------------------------------------------------

HARD = {
    "seq2seq": {"teacher_forcing": 0.6, "sampling": 0.5, "ema": 0.9},
    "transformer": {"ema": 0.9},
}


@pytest.fixture(scope="module", params=list(HARD))
def unbroken(request, few, tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    settings = settings_of(few, system=request.param, training=HARD[request.param])
    run = PairJob(settings, tmp_path_factory.mktemp("unbroken") / "run")
    assert len(run.start().rows) * STEPS == run.module.global_step
    yield settings, run.folder
    torch.set_num_threads(threads)


STEPS = 4  # of an epoch


@pytest.mark.parametrize(
    "stops",
    [
        [(1, "step")],
        [(2, "step"), (2, "step"), (STEPS, "validation")],  # three times in one run
        [(STEPS, "step"), (2 * STEPS + 1, "step"), (3 * STEPS, "validation")],
    ],
    ids=str,
)
def test_a_broken_run_ends_bit_for_bit_where_an_unbroken_one_does(unbroken, tmp_path, stops):
    settings, whole = unbroken
    run = PairJob(settings, tmp_path / "run")
    end_after(run, stops)
    same_end(run.folder, whole)


def test_it_goes_on_with_the_vocabularies_that_it_has(unbroken, tmp_path):
    settings, _ = unbroken
    run = PairJob(settings, tmp_path / "run")
    with pytest.raises(Stop):
        run.start(At(2, stop))
    prepared = prepare.resume(RunConfig.load(run.folder / "config.yaml"), run.folder)
    assert prepared.source.to_bytes() == (run.folder / "source.vocabulary").read_bytes()
    assert prepared.remarks == ()
