"""Tables of texts and labels: recognised by their columns, read in every form, split without overlap."""

import json

import pytest
from text_encoders import make_texts, write_texts

from jumok.data.labelled.batches import TextBatches
from jumok.data.labelled.recognition import looks_like_labelled_texts
from jumok.data.labelled.text_set import Columns, read_text_parts, read_texts, stream_texts
from jumok.data.sharded_batches import BatchPlan
from jumok.errors import JumokError
from jumok.tasks import recognise

ROWS = make_texts(20)


@pytest.mark.parametrize(
    ("names", "task"),
    [
        (("text", "label"), "label"),
        (("Sentence", "class"), "label"),
        (("image", "label"), "classify"),
        (("image", "question"), "answer"),
    ],
)
def test_what_a_table_is_for_is_told_by_its_columns(tmp_path, names, task):
    for end, separator in ((".csv", ","), (".tsv", "\t")):
        if task == "answer" and end == ".tsv":
            continue
        assert recognise([write_texts(tmp_path / f"a{end}", ROWS, names, separator)]).name == task


def test_pairs_and_questions_are_no_labelled_texts(tmp_path):
    pairs = write_texts(tmp_path / "pairs.tsv", ROWS, ("Ein Hund.", "A dog."), "\t")
    assert recognise([pairs]).name == "translate"
    asked = write_texts(tmp_path / "asked.csv", [("a.png", "what?", "yes")], ("image", "question", "label"))
    assert recognise([asked]).name == "answer"
    assert not looks_like_labelled_texts([tmp_path])


def test_columns_of_images_and_texts_are_asked_about(tmp_path):
    table = write_texts(tmp_path / "both.csv", [("a.png", "x", "y")], ("image", "text", "label"))
    with pytest.raises(JumokError, match=r"columns of images and of texts: .*jumok train texts"):
        recognise([table])
    assert recognise([table], ["text_column"]).name == "label"


def write_as(path, rows):
    names = ("text", "label")
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows), "utf-8")
    elif path.suffix == ".parquet":
        import pandas as pd

        pd.DataFrame(rows, columns=names).to_parquet(path)
    else:
        write_texts(path, rows, names, "\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("end", ["csv", "tsv", "jsonl", "parquet"])
def test_every_form_is_read_alike(tmp_path, end):
    parts = read_text_parts(write_as(tmp_path / f"a.{end}", ROWS))
    every = {
        (text, each.classes[label])
        for each in parts.values()
        for text, label in zip(each.texts, each.labels, strict=True)
    }
    assert every == set(ROWS)
    assert parts["train"].classes == ("food", "sport")
    assert [parts[part].counts() for part in ("train", "val", "test")] == [(14, 14), (3, 3), (3, 3)]


def test_quotes_and_line_ends_within_a_text(tmp_path):
    rows = [('he said "no"\u2028then left', "a"), ('"STOP" is written', "b"), ("two\nlines, here", "a"), *ROWS]
    table = write_texts(tmp_path / "a.csv", rows)
    found = read_texts([table], ["a", "b", "food", "sport"])
    assert found.texts[:3] == ('he said "no" then left', '"STOP" is written', "two lines, here")
    plain = tmp_path / "a.tsv"
    plain.write_text('text\tlabel\n"STOP" is written\ta\nhe said "no\tb\n', "utf-8")
    assert read_texts([plain], ["a", "b"]).texts == ('"STOP" is written', 'he said "no')


def test_a_text_that_repeats_stays_in_one_part(tmp_path):
    rows = [*ROWS, *((text.upper(), label) for text, label in ROWS[:10])]
    parts = read_text_parts(write_texts(tmp_path / "a.csv", rows))
    known = {part: {text.casefold() for text in texts.texts} for part, texts in parts.items()}
    assert not known["train"] & known["val"]
    assert not known["train"] & known["test"]
    assert not known["val"] & known["test"]
    assert any("10 texts repeat an earlier one" in note for note in parts["train"].notes)


def test_parts_by_a_column_and_by_files(tmp_path):
    rows = [(text, label, ("train", "dev", "test")[number % 3]) for number, (text, label) in enumerate(ROWS)]
    parts = read_text_parts(write_texts(tmp_path / "a.csv", rows, ("text", "label", "split")))
    assert [len(parts[part]) for part in ("train", "val", "test")] == [14, 13, 13]
    write_texts(tmp_path / "set" / "train.csv", ROWS[:30])
    write_texts(tmp_path / "set" / "test.csv", ROWS[20:])
    assert recognise([tmp_path / "set"]).name == "label"
    parts = read_text_parts(tmp_path / "set")
    assert len(parts["test"]) == 20
    assert len(parts["val"]) == 4
    assert any("of 20 test texts are also in train" in note for note in parts["train"].notes)


def test_what_is_left_out_is_counted(tmp_path):
    parts = read_text_parts(write_texts(tmp_path / "a.csv", [*ROWS, ("", "food"), ("we lost", " ")]))
    assert "left out: rows 1 without text and 1 without a label" in parts["train"].notes
    assert "40 texts are labelled in a.csv (columns 'text' and 'label')" in parts["train"].notes


def test_labels_that_are_written_in_two_ways_or_may_be_none(tmp_path):
    whole = [(f"text {n}", ("0", "1", "1.0")[n % 3]) for n in range(30)]
    table = write_as(tmp_path / "a.csv", whole)
    assert read_text_parts(table)["train"].classes == ("0", "1")
    assert len(read_texts([table], ("0", "1"))) == 30
    named = [(f"text {n}", ("NaN", "good", "Good")[n % 3]) for n in range(30)]
    notes = read_text_parts(write_as(tmp_path / "b.csv", named))["train"].notes
    assert any(note.startswith("the label 'NaN' of 10 texts often stands for a missing one") for note in notes)
    assert "'good' and 'Good' are taken for different classes" in " ".join(notes)


def test_columns_of_other_names(tmp_path):
    table = write_texts(tmp_path / "a.csv", ROWS, ("Utterance", "Intent"))
    parts = read_text_parts(table, Columns("utterance", "intent"))
    assert parts["train"].classes == ("food", "sport")
    with pytest.raises(JumokError, match=r"lacks the column 'text': got utterance, intent; name it with --text-column"):
        read_text_parts(table)
    with pytest.raises(JumokError, match="has no column 'intend': did you mean 'intent'"):
        read_text_parts(table, Columns("utterance", "intend"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a b", "x"), ("c d", "x")], "all texts of .* have the one label 'x'"),
        ([(f"text {n}", str(n)) for n in range(9)], "9 labels for 9 texts"),
        ([(f"text {n}", f"{n / 7}") for n in range(20)], "labels are measurements"),
        ([(f"text {n}", f"{n % 3}.5 kg") for n in range(20)], "labels are measurements such as 0.5 kg"),
        ([(f"text {n}", "a|b") for n in range(9)], "names several classes"),
        ([("a b", "x"), ("c d", "x"), ("e f", "y"), ("g h", "y")], "2 texts of the class 'x' cannot be split"),
        ([("", "x")], "holds no text with a label"),
    ],
)
def test_bad_tables_are_refused(tmp_path, rows, message):
    with pytest.raises(JumokError, match=message):
        read_text_parts(write_texts(tmp_path / "a.csv", rows))


def test_batches_are_filled_up_and_resume():
    ids = [[2, *range(9, 9 + length), 3] for length in (1, 4, 2, 3, 5)]
    import torch

    batches = TextBatches(ids, torch.tensor([0, 1, 0, 1, 1]), 0, BatchPlan(5, 2, seed=1, shuffle=True, drop_last=True))
    first = list(batches)
    assert [batch.tokens.shape[0] for batch in first] == [2, 2]
    for batch in first:
        for row, there, number in zip(batch.tokens, batch.there, batch.indices, strict=True):
            assert row[there].tolist() == ids[number]
            assert not row[~there].any()
    batches.load_state_dict({**batches.state_dict(), "epoch": 0, "position": 1})
    assert torch.equal(next(iter(batches)).tokens, first[1].tokens)


@pytest.mark.parametrize(
    ("row", "field", "shown"),
    [
        ('"text": "a", "label": true', "label", "true"),
        ('"text": false, "label": "x"', "text", "false"),
        ('"text": "a", "label": NaN', "label", "NaN"),
        ('"text": -Infinity, "label": "x"', "text", "-Infinity"),
        ('"text": "a", "label": ["x", true]', "label", "true"),
    ],
)
def test_values_of_json_that_are_no_texts_are_refused(tmp_path, row, field, shown):
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"text": "good", "label": "x"}}\n{{{row}}}\n')
    with pytest.raises(JumokError, match=f"t.jsonl, line 2: '{field}' is {shown}: wanted a text, a number"):
        read_texts([path], ("x",))


def test_numbers_of_json_keep_their_text(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(f'{{"text": {text}, "label": "x"}}\n' for text in ("1", "1.0", "1e3", "0.10")))
    assert list(stream_texts(path)) == ["1", "1.0", "1e3", "0.10"]
