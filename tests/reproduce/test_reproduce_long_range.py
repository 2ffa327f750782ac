"""The tables of long-range dependency: their data, their models, their rows, and the command."""

import gzip
import json
import math

import pytest
import torch

from jumok import watch
from jumok.errors import JumokError
from reproduce import __main__ as command
from reproduce import adding_problem, copy_memory, reversal, rows, sequential_mnist
from reproduce.idx import read_digits, read_idx
from reproduce.rows import How, Paper, Row
from reproduce.sequence_reader import NETWORKS, ReadEach, ReadLast, train


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


# -- data -----------------------------------------------------------------------------------------


def test_adding_wants_the_sum_of_the_two_marked_numbers():
    sequences, sums = adding_problem.draw(200, 30, drawn())
    numbers, marks = sequences.unbind(-1)
    for row in range(200):
        first, second = marks[row].nonzero().flatten().tolist()
        assert sums[row].item() == pytest.approx((numbers[row, first] + numbers[row, second]).item())
    assert 0 <= numbers.min() < 0.01 < 0.99 < numbers.max() <= 1
    assert marks.sum(0).min() > 0  # every place is marked at times


def test_always_saying_one_has_the_variance_of_the_sum():
    _, sums = adding_problem.draw(100_000, 5, drawn())
    assert ((sums - 1) ** 2).mean().item() == pytest.approx(1 / 6, abs=0.002)


def test_copying_wants_the_first_digits_at_the_last_steps():
    sequences, wanted = copy_memory.draw(50, 7, drawn())
    read = sequences.argmax(-1)
    assert sequences.shape == (50, 27, 10)
    assert (sequences.sum(-1) == 1).all()
    assert torch.equal(read[:, :10], wanted[:, -10:])
    assert set(read[:, :10].unique().tolist()) == set(range(1, 9))
    assert (read[:, 10:16] == 0).all()
    assert (read[:, 16:] == 9).all()
    assert (wanted[:, :-10] == 0).all()


def test_who_forgets_the_digits_has_the_loss_that_is_stated():
    _, wanted = copy_memory.draw(20, 7, drawn())
    logits = torch.full((20, 27, 10), -1e4)
    logits[:, :-10, 0] = 0
    logits[:, -10:, 1:9] = 0
    stated = 10 * math.log(8) / (7 + 20)
    assert copy_memory._loss(logits, wanted).item() == pytest.approx(stated, rel=1e-4)


def test_reversal_turns_the_words_between_the_symbols():
    source, target = reversal.pairs(torch.tensor([[10, 11, 12], [4, 5, 6]]))
    assert source.tolist() == [[10, 11, 12, 3], [4, 5, 6, 3]]
    assert target.tolist() == [[2, 12, 11, 10, 3], [2, 6, 5, 4, 3]]


# -- MNIST's files --------------------------------------------------------------------------------


def idx(*shape, numbers=None, kind=8):
    count = math.prod(shape)
    body = bytes(number % 10 for number in range(count)) if numbers is None else bytes(numbers)
    return bytes([0, 0, kind, len(shape)]) + b"".join(length.to_bytes(4, "big") for length in shape) + body


@pytest.fixture
def mnist(tmp_path):
    for part, count in (("train", 40), ("t10k", 20)):
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(count, 5, 4)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(count))
    return tmp_path


def test_images_and_labels_are_read_plain_and_packed(mnist):
    images, labels = read_digits(mnist, "train")
    assert images.shape == (40, 5, 4)
    assert images.flatten().tolist() == [number % 10 for number in range(800)]
    assert labels.tolist() == list(range(10)) * 4
    assert len(read_digits(mnist, "test")[1]) == 20


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "begins with nothing"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "begins with 89 50 4e 47"),
        (idx(2, 3, 3, kind=13), "begins with 00 00 0d 03, wanted 00 00 08 03"),
        (idx(9), "wanted 00 00 08 03"),
        (idx(2, 3, 3)[:-1], "2 x 3 x 3 = 18 bytes and holds only 17"),
        (idx(2, 3, 3) + b"x", "holds more"),
        (idx(2**31, 3, 3, numbers=b""), "at most 1,000,000 images"),
        (idx(2, 4096, 3, numbers=b""), "1024 x 1024"),
        (idx(1_000_000, 1000, 1000, numbers=b""), "1,073,741,824 bytes in all"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_wrong_file_is_named_with_what_was_wanted(tmp_path, content, said, packed):
    path = tmp_path / ("images.gz" if packed else "images")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(JumokError, match="images") as error:
        read_idx(path, axes=3)
    assert said in str(error.value)


@pytest.mark.parametrize("content", [b"no gzip at all", gzip.compress(idx(2, 3, 3) * 50)[:-20]], ids=["other", "cut"])
def test_a_broken_gz_is_named(tmp_path, content):
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(JumokError, match=r"images\.gz"):
        read_idx(path, axes=3)


def test_missing_and_unfitting_files_are_named(mnist, tmp_path):
    with pytest.raises(JumokError, match="holds neither train-images-idx3-ubyte nor train-images-idx3-ubyte"):
        read_digits(tmp_path / "nowhere", "train")
    (mnist / "train-labels-idx1-ubyte").write_bytes(idx(39))
    with pytest.raises(JumokError, match="40 train images and 39 labels"):
        read_digits(mnist, "train")
    (mnist / "train-labels-idx1-ubyte").write_bytes(idx(40, numbers=[10] * 40))
    with pytest.raises(JumokError, match="label 10"):
        read_digits(mnist, "train")


def test_digits_are_read_by_rows_or_by_pixels_in_the_same_order():
    images = torch.arange(2 * 5 * 4, dtype=torch.uint8).view(2, 5, 4)
    by_rows, by_pixels = sequential_mnist.as_steps(images, "rows"), sequential_mnist.as_steps(images, "pixels")
    assert (by_rows.shape, by_pixels.shape) == ((2, 5, 4), (2, 20, 1))
    assert torch.equal(by_rows.flatten(1), by_pixels.flatten(1))


def test_every_epoch_sees_each_digit_once_in_another_order():
    digits = torch.arange(10.0).view(10, 1, 1), torch.arange(10)
    batches = sequential_mnist.shuffled(digits, batch=4, seed=0)
    epochs = [[label for step in range(3) for label in batches(3 * epoch + step)[1].tolist()] for epoch in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]
    again = sequential_mnist.shuffled(digits, batch=4, seed=0)
    assert torch.equal(again(5)[1], batches(5)[1])


# -- models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_what_reads_each_step_does_not_look_ahead(network):
    torch.manual_seed(0)
    model = ReadEach(network, inputs=2, outputs=3, hidden=8).eval()
    sequence = torch.randn(2, 9, 2)
    other = sequence.clone()
    other[:, 5:] += 1
    before, after = model(sequence), model(other)
    assert torch.allclose(before[:, :5], after[:, :5], atol=1e-6)
    assert not torch.allclose(before[:, 5:], after[:, 5:], atol=1e-3)


@pytest.mark.parametrize("network", NETWORKS)
def test_what_reads_to_the_end_uses_the_first_step(network):
    torch.manual_seed(0)
    model = ReadLast(network, inputs=2, outputs=3, hidden=8)
    sequence = torch.randn(2, 6, 2, requires_grad=True)
    model(sequence).sum().backward()
    assert (sequence.grad[:, 0].abs() > 0).all()


def test_attention_over_the_states_can_be_watched():
    model = ReadLast("attention", inputs=2, outputs=1, hidden=8).eval()
    with watch(model) as seen:
        model(torch.randn(2, 6, 2))
    assert seen[0].weights.flatten(0, -3).shape[-2:] == (1, 6)


def test_training_learns(capsys):
    torch.manual_seed(0)
    model = ReadLast("gru", inputs=2, outputs=1, hidden=16)
    draw = drawn()
    train(
        model,
        lambda step: adding_problem.draw(32, 4, draw),
        torch.nn.functional.mse_loss,
        steps=400,
        lr=1e-2,
        clip=1.0,
        name="few",
    )
    assert adding_problem._error(model, *adding_problem.draw(500, 4, drawn(1))) < 0.03
    assert "few: step 400 of 400" in capsys.readouterr().err


def test_words_in_the_right_place_are_counted():
    assert reversal._right([5, 6, 9], [5, 6, 7, 8]) == 2
    assert reversal._right([5, 6, 7, 8, 9], [5, 6, 7, 8]) == 4


def test_the_weight_on_the_anti_diagonal_is_of_the_models_own_map():
    torch.manual_seed(0)
    config = reversal.Seq2SeqConfig(
        source_vocabulary=54, target_vocabulary=54, embedding=8, hidden=8, dropout=0.0, score="additive"
    )
    model = reversal.Seq2Seq(config).eval()
    words = reversal.draw_words(3, 5, drawn())
    source, target = reversal.pairs(words)
    with watch(model) as seen:
        model(source, target[:, :-1])
    weights = seen[0].weights.reshape(3, 6, 6)
    right = [weights[sentence, step, 4 - step].item() for sentence in range(3) for step in range(5)]
    assert reversal._weight(model, words) == pytest.approx(sum(right) / len(right), abs=1e-6)


# -- rows and the command -------------------------------------------------------------------------

HOW = How("python -m reproduce some", seed=3, threads=1)


def paper(out):
    return Paper("some", "Some table", "About it.", HOW, out)


def test_a_row_replaces_its_like_and_leaves_the_others(tmp_path):
    out = tmp_path / "some.json"
    first = paper(out)
    first.add(Row("T = 1", "rnn", "loss", 0.5, published=0.4, source="a paper"))
    first.add(Row("T = 2", "rnn", "loss", 0.7, goal="<= 0.6"))
    assert first.reached is False
    again = paper(out)
    again.add(Row("T = 2", "rnn", "loss", 0.55, goal="<= 0.6"))
    assert again.reached is True
    kept = json.loads(out.read_text())["rows"]
    assert [(row["case"], row["ours"], row["met"]) for row in kept] == [("T = 1", 0.5, None), ("T = 2", 0.55, True)]
    assert kept[0]["seed"] == 3
    assert kept[0]["machine"]["torch"]
    written = out.with_suffix(".md").read_text()
    assert "| T = 1 | rnn | loss | 0.5 |  | 0.4 |" in written
    assert "<= 0.6 (met)" in written
    assert "a paper" in written


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"name": "other", "rows": []}', '{"name": "some", "rows": [{"case": "T = 1"}]}']
)
def test_another_file_is_not_overwritten(tmp_path, content):
    out = tmp_path / "some.json"
    out.write_text(content)
    with pytest.raises(JumokError, match="--out"):
        paper(out)
    assert out.read_text() == content


def test_every_table_in_the_folder_is_whole():
    for path in rows.RESULTS.glob("*.json"):
        assert rows._read(path, path.stem)


QUICK = {
    "adding_problem": ["--lengths", "5", "--steps", "3", "--hidden", "8"],
    "copy_memory": ["--lengths", "3", "--steps", "2", "--hidden", "8"],
    "sequential_mnist": ["--hidden", "8", "--by", "rows", "pixels", "--batch", "16"],
    "reversal": ["--lengths", "2", "3", "--steps", "2", "--hidden", "8", "--embedding", "4", "--tested", "4"],
}


@pytest.mark.parametrize("name", sorted(QUICK))
def test_the_command_makes_each_table(name, mnist, tmp_path, capsys):
    out = tmp_path / "table.json"
    data = ["--data", str(mnist)] if name == "sequential_mnist" else []
    arguments = [name, "--quick", "--seed", "1", "--out", str(out), *QUICK[name], *data]
    assert command.main(arguments) == 0
    kept = json.loads(out.read_text())
    assert kept["name"] == name
    assert all(math.isfinite(row["ours"]) and row["quick"] and row["seed"] == 1 for row in kept["rows"])
    assert all(row["seconds"] > 0 and row["steps"] > 0 for row in kept["rows"] if row["setup"][:11] != "no training")
    assert len(kept["rows"]) >= 5
    assert "python -m reproduce" in out.with_suffix(".md").read_text()
    assert command.importlib.import_module(f"reproduce.{name}").TITLE in capsys.readouterr().out


def test_a_row_does_not_tell_where_the_data_lay(mnist, tmp_path):
    out = tmp_path / "table.json"
    command.main(["sequential_mnist", "--quick", "--data", str(mnist), "--out", str(out), *QUICK["sequential_mnist"]])
    assert str(tmp_path) not in out.read_text()
    assert f"--data {mnist.name} " in out.read_text()


def test_the_same_seed_gives_the_same_row(tmp_path):
    ours = []
    for name in ("one", "two"):
        out = tmp_path / f"{name}.json"
        command.main(["adding_problem", "--quick", "--networks", "gru", "--out", str(out), *QUICK["adding_problem"]])
        ours.append([row["ours"] for row in json.loads(out.read_text())["rows"]])
    assert ours[0] == ours[1]


def test_published_figures_stand_only_where_the_length_is_the_papers():
    assert {length for length, _ in adding_problem.PUBLISHED} == {600}
    assert {length for length, _ in copy_memory.PUBLISHED} == {1000}
    assert {by for by, _ in sequential_mnist.PUBLISHED} == {"pixels"}


def test_bad_input_is_one_line(tmp_path, capsys):
    out = tmp_path / "table.json"
    assert command.main(["sequential_mnist", "--quick", "--data", str(tmp_path / "no"), "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1
    with pytest.raises(SystemExit):
        command.main(["adding_problem", "--steps", "0"])
