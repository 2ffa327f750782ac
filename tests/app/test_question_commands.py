"""Training on questions, asking, judging and measuring, as a person calls them."""

import csv
import io
import json
import shlex
import shutil
import unicodedata

import pytest
import yaml
from PIL import Image
from question_helpers import settings_of, untrained, write_squares

import jumok as package
from jumok.app.naming import LONGEST_NAME
from jumok.attention import AttentionMap, Patches
from jumok.data.questions.question_set import read_questions
from jumok.files import RESULTS_MARK

TINY = shlex.split(
    "--device cpu --threads 1 --batch-size 16 --lr 0.01 --ema 0.9 --option width=32 --option heads=2 --option patch=4 "
    "--option dropout=0"
)
LEFT, RIGHT = "what colour is the left square?", "what colour is the right square?"


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module")
def asked(squares, tmp_path_factory):
    """A run that tells the colours, most of them rightly."""
    from jumok.app.cli import main

    folder = tmp_path_factory.mktemp("runs") / "asked"
    with pytest.raises(SystemExit) as stopped:
        words = ("train", squares, "--images", squares / "images", "--out", folder, "--epochs", 15, "--no-trust")
        main([*map(str, words), *TINY])
    assert stopped.value.code == 0
    return folder


@pytest.fixture(scope="module")
def others(squares, tmp_path_factory):
    """Runs of other systems that were not trained."""
    folder = tmp_path_factory.mktemp("others")
    for system in ("vqa-transformer", "vqa-question", "vqa-image"):
        untrained(folder / system, settings_of(squares, system=system))
    return folder


def given(content):
    """Standard input that holds these bytes."""
    return io.TextIOWrapper(io.BytesIO(content), "ascii")


def refused(jumok, folder, words, message):
    """The command ends with status 2 and one line, and nothing has been written."""
    before = sorted(folder.rglob("*"))
    said = jumok(*words)
    assert said.status == 2, said.out
    assert message in said.err
    assert said.err.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


# -- train --------------------------------------------------------------------------------------


def test_a_run_folder_comes_out_and_says_what_it_is(asked, squares):
    assert {path.name for path in asked.iterdir()} == {
        "card.md", "checkpoints", "config.yaml", "kernels.json", "logs", "metrics.csv", "questions.vocabulary",
        "trained_on.txt", "weights.safetensors",
    }  # fmt: skip
    card = (asked / "card.md").read_text()
    rows = list(csv.DictReader((asked / "metrics.csv").open()))
    best = max(rows, key=lambda row: (float(row["val_accuracy"]), -float(row["val_loss"])))
    for words in (
        "# asked",
        "A vqa-stacked of ",
        "that answers questions about images of 16 x 24 pixels by one of 4 answers.",
        f"| questions | {squares}: 72 train, 24 val, 24 test |",
        f"| images | {squares / 'images'}: 24 train, 8 val, 8 test |",
        f"| validation accuracy | {float(best['val_accuracy']):.4f} |",
    ):
        assert words in card
    assert float(rows[-1]["train_loss"]) < 0.3 * float(rows[0]["train_loss"])


def test_what_is_to_be_trained_follows_from_the_data(jumok, squares, tmp_path):
    rows = list(csv.DictReader((squares / "train.csv").open(encoding="utf-8")))
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "q.tsv").write_text(
        "\n".join("\t".join(row[name] for name in rows[0]) for row in [dict(zip(rows[0], rows[0], strict=True)), *rows])
    )
    found = []
    for number, data in enumerate((squares / "train.csv", tmp_path / "q.jsonl", tmp_path / "q.tsv")):
        out = tmp_path / str(number)
        said = jumok("train", data, "--images", squares / "images", "--out", out, *TINY, "--epochs", 1)
        assert (said.status, said.err) == (0, "")
        config = yaml.safe_load((out / "config.yaml").read_text())
        assert (config["task"], config["system"]) == ("answer", "vqa-stacked")
        found.append(config["found"])
    assert found[0] == found[1] == found[2]
    for words in (
        "training and ", "validation questions about ", "4 answers; vqa-stacked with ", "kept epoch 1 of 1: ",
        "validation questions answered correctly", "questions/s on cpu", f"next: jumok eval {out}",
    ):  # fmt: skip
        assert words in said.out


def test_a_finished_run_resumes_to_the_same_wherever_it_is_called(jumok, squares, tmp_path, monkeypatch):
    monkeypatch.chdir(squares)
    said = jumok(
        "train", "train.csv", "--images", "images", "--val-questions", "val.csv", "--out", tmp_path / "run", *TINY,
        "--epochs", 1,
    )  # fmt: skip
    assert said.status == 0, said.err
    before = {name: (tmp_path / "run" / name).read_bytes() for name in ("metrics.csv", "weights.safetensors")}
    monkeypatch.chdir(tmp_path)
    assert jumok("train", "--resume", "run").status == 0
    assert before == {name: (tmp_path / "run" / name).read_bytes() for name in before}
    assert jumok("eval", "run").status == 0


def test_images_that_lie_beside_the_questions_are_found(jumok, squares, tmp_path):
    assert jumok("train", squares, "--out", tmp_path / "run", *TINY, "--epochs", 1).status == 0
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["data"]["images"] == str((squares / "images").resolve())
    assert jumok("eval", tmp_path / "run").status == 0


def test_resuming_with_other_questions_is_refused(jumok, squares, tmp_path):
    data = shutil.copytree(squares, tmp_path / "data")
    assert (
        jumok("train", data, "--images", data / "images", "--out", tmp_path / "run", *TINY, "--epochs", 1).status == 0
    )
    text = (data / "val.csv").read_text("utf-8")
    (data / "val.csv").write_text(text.rsplit("\n", 2)[0] + "\n", "utf-8")
    refused(jumok, tmp_path, ("train", "--resume", tmp_path / "run"), "are not those that this run began with")
    words = ("train", "--resume", tmp_path / "run", "--images", data / "images")
    refused(jumok, tmp_path, words, "are not those that this run began with (72 train, 24 val")
    words = ("train", "--resume", tmp_path / "run", "--images", "nowhere")
    refused(jumok, tmp_path, words, "--images: there is nothing at nowhere")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("one.csv", "questions are about images: give their folder with --images"),
        ("{data}/train.csv --images nowhere", "no folder of images at nowhere: give it by --images"),
        ("{data}/train.csv --images {data}/masks", "no question with an answer and an image in"),
        ("missing.csv --images {data}/images", "no such file: missing.csv"),
        ("{data}/images --images {data}/images", "holds no questions to train on: wanted train.csv"),
        ("--images {data}/images", "no questions: give a file"),
        ("bad.csv --images {data}/images", "lacks the column 'answer'"),
        ("ragged.csv --images {data}/images", "line 2: 4 cells for 3 columns"),
        ("out.csv --images {data}/images", "lies outside"),
        ("one.csv --images {data}/images", "1 image is too few"),
        ("broken.csv --images .", "broken"),
        ("{data} --images {data}/images --system vqa-stack", "did you mean 'vqa-stacked'"),
        ("{data} --images {data}/images --option hop=3", "no option 'hop'"),
        ("{data} --images {data}/images --option answers=3", "follows from the data"),
        ("{data} --images {data}/images --option heads=7", "do not divide width"),
        ("{data} --images {data}/images --mixup 0.3", "vqa-stacked has no use for --mixup"),
        ("{data} --images {data}/images --batch-tokens 300", "vqa-stacked has no use for --batch-tokens"),
        ("{data}/train.csv --images {data}/images --val-fraction 0.6 --test-fraction 0.4", "nothing to train on"),
        ("{photos} --answers 5", "senet has no use for --answers"),
        ("{photos} --images {data}/images", "holds no questions to train on"),
    ],
)
def test_what_is_wrong_in_training_is_one_line(jumok, squares, coloured, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    head = "image,question,answer\n"
    for name, text in {
        "bad.csv": "image,question\ntrain-0.png,what?\n",
        "ragged.csv": head + "train-0.png,what, really?,red\n",
        "out.csv": head + "../train.csv,what?,red\n",
        "one.csv": head + "train-0.png,what?,red\ntrain-0.png,who?,blue\n",
        "broken.csv": head + "".join(f"broken{i}.png,what?,{i % 2}\n" for i in range(12)),
    }.items():
        (tmp_path / name).write_text(text)
    for number in range(12):
        (tmp_path / f"broken{number}.png").write_bytes(b"no image")
    words = shlex.split(words.format(data=squares, photos=coloured))
    refused(jumok, tmp_path, ("train", *words, "--out", "run", "--device", "cpu"), message)


# -- eval ---------------------------------------------------------------------------------------


def test_eval_prints_and_writes_figures_and_answers(jumok, asked, squares, tmp_path):
    said = jumok("eval", asked, "--out", tmp_path / "eval")
    assert (said.status, said.err) == (0, "")
    report = json.loads((tmp_path / "eval" / "eval.json").read_text("utf-8"))
    rows = list(csv.DictReader((tmp_path / "eval" / "answers.csv").open(encoding="utf-8")))
    assert (report["split"], report["questions"], report["images"]) == ("test", 24, 8) == ("test", len(rows), 8)
    assert report["accuracy"] == pytest.approx(sum(float(row["score"]) for row in rows) / 24)
    assert report["accuracy"] >= 0.75
    assert {row["kind"]: row["questions"] for row in report["by_kind"]} == {"colour": 16, "presence": 8}
    run = package.load(asked)
    wanted = read_questions([squares / "test.csv"], squares / "images")
    given = {(wanted.image_of(n).name, wanted.questions[n]): wanted.answers[n] for n in range(len(wanted))}
    for row in rows:
        (reply,) = run.ask(squares / "images" / row["image"], [row["question"]])
        assert row["answered"] == reply.best
        assert float(row["probability"]) == pytest.approx(reply.answers[0][1], abs=1e-4)
        assert (row["answers"],) == given[row["image"], row["question"]]
        assert float(row["score"]) == (row["answered"] == row["answers"])
    for words in ("24 questions about 8 images (test)", f"accuracy {report['accuracy']:.1%} (95%", "presence"):
        assert words in said.out


def test_eval_stands_beside_what_needs_no_look(jumok, asked, squares, tmp_path):
    said = jumok("eval", asked, "--split", "train", "--out", tmp_path)
    report = json.loads((tmp_path / "eval.json").read_text("utf-8"))
    overall, nearest = report["baselines"]
    assert overall["accuracy"] == pytest.approx(1 / 3)  # "no", to every question
    assert nearest["accuracy"] >= overall["accuracy"]
    assert nearest["better_by"]["value"] == pytest.approx(report["accuracy"] - nearest["accuracy"])
    assert report["learnt"].startswith("the model is significantly better than the commonest answer and ")
    assert report["learnt"] in said.out


def test_eval_says_which_images_training_has_too(jumok, asked, squares, tmp_path):
    rows = (squares / "train.csv").read_text("utf-8").splitlines()[:4]
    (tmp_path / "t.csv").write_text("\n".join(rows), "utf-8")
    said = jumok("eval", asked, tmp_path / "t.csv", "--images", squares / "images", "--out", tmp_path)
    assert "remark: 1 of 1 images are asked about in training too" in said.out
    assert "in training too" not in jumok("eval", asked, "--split", "train", "--out", tmp_path).out


def test_eval_says_that_nothing_was_learnt_or_that_it_cannot_tell(jumok, squares, tmp_path):
    data = shutil.copytree(squares, tmp_path / "data")
    untrained(tmp_path / "run", settings_of(data))
    said = jumok("eval", tmp_path / "run")
    assert "it has learnt nothing that th" in said.out
    (data / "train.csv").unlink()
    said = jumok("eval", tmp_path / "run", data / "test.csv")
    assert said.status == 0
    assert "remark: no baselines: the training questions cannot be read" in said.out
    assert json.loads((tmp_path / "run" / "eval" / "eval.json").read_text())["baselines"] == []


@pytest.mark.parametrize(
    ("words", "part", "count"),
    [
        ("{data}/val.csv", "all", 24), ("{data}/val.csv --split all", "all", 24), ("{data}", "test", 24),
        ("{data} --split val", "val", 24), ("--split train", "train", 72),
        ("other.csv --images {data}/masks", "all", 2),
    ],
)  # fmt: skip
def test_which_questions_are_judged(jumok, asked, squares, tmp_path, monkeypatch, words, part, count):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.csv").write_text("image,question,answer\n" + "test-0-left.png,what?,red\n" * 2)
    said = jumok("eval", asked, *shlex.split(words.format(data=squares)), "--out", "eval")
    assert said.status == 0, said.err
    report = json.loads((tmp_path / "eval" / "eval.json").read_text("utf-8"))
    assert (report["split"], report["questions"]) == (part, count)


def test_the_file_that_a_run_was_trained_on_is_not_judged_whole(jumok, squares, tmp_path):
    run = untrained(tmp_path / "run", settings_of(squares, squares / "train.csv", test_fraction=0.25))
    said = jumok("eval", tmp_path / "run", squares / "train.csv")
    assert said.status == 0
    report = json.loads((tmp_path / "run" / "eval" / "eval.json").read_text("utf-8"))
    assert (report["split"], report["questions"]) == ("test", run.config.found.counts["test"]) == ("test", 18)


def test_answers_that_training_did_not_have_are_told(jumok, asked, squares, tmp_path):
    (tmp_path / "q.csv").write_text("image,question,answer\ntest-0.png,what?,yak\ntest-0.png,is there a circle?,no\n")
    said = jumok("eval", asked, tmp_path / "q.csv", "--out", tmp_path / "eval")
    assert said.status == 0
    assert "1 question has an answer that never occurred in training: counted as wrong" in said.out
    assert json.loads((tmp_path / "eval" / "eval.json").read_text("utf-8"))["unanswerable"] == 1


def test_what_is_left_out_is_told(jumok, asked, squares, tmp_path):
    rows = ["gone.png,what?,red", "test-0.png,,red", "test-0.png,what?,", "test-0.png,is there a circle?,no"]
    (tmp_path / "q.csv").write_text(
        "\n".join(["image,question,answer,mask", *(f"{row},test-0-left.png" for row in rows)])
    )
    said = jumok("eval", asked, tmp_path / "q.csv", "--out", tmp_path)
    assert (said.status, said.err) == (0, "")
    for words in ("gone.png", "questions left out: 1 no question, 1 no answer, 1 no image"):
        assert words in said.out
    report = json.loads((tmp_path / "eval.json").read_text("utf-8"))
    assert report["skipped"] == {"no question": 1, "no answer": 1, "no image": 1}


def test_signs_that_mean_something_elsewhere_are_signs(jumok, asked, squares, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = shutil.copy(squares / "images" / "test-0.png", tmp_path / "[b]$a_$.png")
    signs = r"[/red] <b>$\frac$ & :heart: $x_^"
    with (tmp_path / "q.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "question", "answer", "kind"), (image.name, signs, signs, signs)])
    said = jumok("eval", asked, "q.csv", "--images", ".", "--out", "eval")
    assert (said.status, said.err) == (0, "")
    assert "[/red]" in said.out
    said = jumok("ask", asked, image, signs, "--out", "out")
    assert (said.status, said.err) == (0, "")
    assert f"{signs}  ->  " in said.out
    assert "<b>" not in (tmp_path / "out" / "index.html").read_text()


def test_eval_refuses_in_one_line(jumok, asked, squares, trained, coloured, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    untrained(tmp_path / "no-test", settings_of(squares, squares / "train.csv", test_fraction=0.0))
    for words, message in (
        ([asked, "--split", "all"], "--split all is not offered here"),
        ([asked, squares / "val.csv", "--split", "val"], "are evaluated whole: leave out --split"),
        ([asked, "missing.csv"], "no such file: missing.csv"),
        ([asked, "--images", "nowhere"], "no folder of images at nowhere"),
        ([asked, "--beam", 3], "--beam"),
        ([asked, coloured], "holds no questions"),
        ([trained, coloured, "--tokenize", "char"], "no use for --tokenize"),
        (["no-test"], "there are no test questions"),
    ):
        refused(jumok, tmp_path, ("eval", *words, "--out", "eval"), message)


# -- ask ----------------------------------------------------------------------------------------


def test_ask_answers_and_draws(jumok, asked, squares, tmp_path):
    image = squares / "images" / "test-0.png"
    said = jumok("ask", asked, image, LEFT, RIGHT, "is there a zebra?", "--out", tmp_path / "out", "--top", 2)
    assert (said.status, said.err) == (0, "")
    replies = package.load(asked).ask(image, [LEFT, RIGHT, "is there a zebra?"], top=2)
    for question, reply in zip((LEFT, RIGHT), replies, strict=False):
        told = ", ".join(f"{answer} {value:.1%}" for answer, value in reply.answers)
        assert f"{question}  ->  {told}" in said.out
    assert "not in this model's vocabulary: zebra" in said.out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        ".jumok-results",
        "index.html",
        *(f"{n}.png" for n in "123"),
        *(f"{n}.hop-{k}.safetensors" for n in "123" for k in "12"),
    }
    for number in "123":
        assert min(Image.open(tmp_path / "out" / f"{number}.png").size) > 200
    heat = AttentionMap.load(tmp_path / "out" / "1.hop-2.safetensors")
    assert isinstance(heat.keys, Patches)
    assert (heat.keys.rows, heat.keys.columns) == (4, 6)
    assert float(heat.weights.sum()) == pytest.approx(1, abs=1e-5)
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert all(word in page for word in ("left", "right", "zebra", replies[0].best))
    assert "://" not in page.replace("http://www.w3.org", "")


def test_unknown_words_are_named_as_a_terminal_may_show_them(jumok, asked, squares, tmp_path):
    many, long, control = [f"x{number}" for number in range(23)], "z" * 300, "q\x07q"
    words = (asked, squares / "images" / "test-0.png", " ".join(many), f"{long} {control}?")
    said = jumok("ask", *words, "--out", tmp_path, "--no-html", "--no-pictures")
    assert (said.status, said.err) == (0, "")
    named = [line for line in said.out.splitlines() if line.startswith("  not in this model's vocabulary: ")]
    assert named[0].endswith(", x19 and 3 more")
    assert f": {'z' * (LONGEST_NAME - 1)}…, " in named[1]
    assert named[1].isprintable()
    told = json.loads(jumok("ask", *words, "--out", tmp_path, "--no-html", "--no-pictures", "--json").out)
    assert [each["unknown"][0] for each in told["questions"]] == ["x0", long]  # for programs: whole


def test_ask_writes_what_is_wished(jumok, asked, squares, tmp_path):
    image = squares / "images" / "test-0.png"
    for flags, names in (
        (["--no-html"], {"1.png", "1.hop-1.safetensors", "1.hop-2.safetensors"}),
        (["--no-pictures"], {"index.html"}),
    ):
        out = tmp_path / flags[0]
        assert jumok("ask", asked, image, LEFT, "--out", out, *flags).status == 0
        assert {path.name for path in out.iterdir()} == names | {RESULTS_MARK}
    said = jumok("ask", asked, image, LEFT, "what \udcff?", "--out", tmp_path / "none", "--no-html", "--no-pictures")
    assert said.status == 0
    assert "what ??  ->  " in said.out  # a byte that is no UTF-8, as a shell hands it over
    assert not (tmp_path / "none").exists()


def test_questions_come_from_standard_input_too(jumok, asked, squares, tmp_path, monkeypatch):
    korean = unicodedata.normalize("NFD", "왼쪽 네모는 무슨 색인가요?")
    monkeypatch.setattr("sys.stdin", given(f"\ufeff{LEFT}\n\n  {korean}\r\n".encode()))
    image = squares / "images" / "test-1.png"
    said = jumok("ask", asked, image, "-", "--out", tmp_path, "--no-html", "--top", 1)
    assert said.status == 0
    assert said.out.count("  ->  ") == 2
    assert "skipped 1 empty question: number 2" in said.out
    assert "not known" not in said.out
    assert {path.name for path in tmp_path.glob("*.png")} == {"1.png", "2.png"}


@pytest.mark.parametrize(
    ("system", "note", "looks"),
    [
        ("vqa-transformer", "", {"relevance", "layer-1", "layer-2"}),
        ("vqa-question", "this model sees no image", set()),
        ("vqa-image", "this model reads no question", {"grad-cam"}),
    ],
)
def test_every_kind_of_model_is_asked(jumok, others, squares, tmp_path, system, note, looks):
    said = jumok("ask", others / system, squares / "images" / "test-0.png", LEFT, "circle?", "--out", tmp_path)
    assert (said.status, said.err) == (0, "")
    assert (f"remark: {note}" in said.out) == bool(note)
    assert {path.name for path in tmp_path.glob("1.*")} == {"1.png", *(f"1.{look}.safetensors" for look in looks)}


def test_ask_refuses_in_one_line(jumok, asked, trained, squares, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"nothing")
    (tmp_path / "file").write_text("")
    image = squares / "images" / "test-0.png"
    for words, message in (
        (
            [trained, image, LEFT],
            "is a run that was trained to classify images: wanted one that was trained to answer questions",
        ),
        (["nowhere", image, LEFT], "nowhere"),
        ([asked, image, image, LEFT], "a run is asked about one image, got "),
        ([asked, "none.png", LEFT], "none.png"),
        ([asked, "bad.png", LEFT], "bad.png"),
        ([asked, image, " "], "no question: ask something"),
        ([asked, image, "word " * 200], "a question of 200 tokens is too long, wanted at most 127"),
        ([asked, image, *["what?"] * 201], "got more than 200 questions"),
        ([asked, image, LEFT, "--out", "file"], "file"),
        ([asked, image, LEFT, "--out", asked], "is the folder of a run: give another"),
    ):
        refused(jumok, tmp_path, ("ask", *words), message)
    for text, message in (
        (b"", "no question: ask something"),
        (b"\n \n", "no question: ask something"),
        (b"what \xff?\n", "standard input, line 1: byte 0xff is not valid UTF-8"),
        (b"what?\n" * 201, "got more than 200 questions"),
    ):
        monkeypatch.setattr("sys.stdin", given(text))
        refused(jumok, tmp_path, ("ask", asked, image, "-"), message)


def test_other_verbs_refuse_a_run_of_questions(jumok, asked, squares, coloured, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (["look", coloured / "red" / "000.png", "--model", asked], ["translate", asked, "hello"]):
        refused(jumok, tmp_path, words, "is a run that was trained to answer")


# -- measure ------------------------------------------------------------------------------------


def test_measure_scores_looks_beside_baselines_one_of_them_blind_to_the_question(jumok, asked, squares, tmp_path):
    said = jumok("measure", asked, "--masks", squares / "masks", "--out", tmp_path)
    assert (said.status, said.err) == (0, "")
    report = json.loads((tmp_path / "measure.json").read_text("utf-8"))
    assert set(report["methods"]) == {"hop 1", "hop 2"}
    assert {"random", "centre", "question-blind"} <= set(report["baselines"]) | set(report["methods"])
    assert report["split"] == "test"
    assert report["agreement"]["look"] == "hop 1"
    assert "hop 1, two questions about one image: rank correlation" in said.out
    assert " question-blind " in said.out  # whole, however narrow the terminal
    assert (tmp_path / "measure.png").is_file()
    only = jumok(
        "measure", asked, squares / "val.csv", "--masks", squares / "masks", "--method", "hop 1", "--out", tmp_path
    )
    assert only.status == 0
    report = json.loads((tmp_path / "measure.json").read_text("utf-8"))
    assert (set(report["methods"]), report["split"]) == ({"hop 1"}, "all")


def test_measure_refuses_in_one_line(jumok, asked, others, squares, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    masks = squares / "masks"
    head = "image,question,answer,mask\n"
    for name, text in {
        "bare.csv": "image,question,answer\ntest-0.png,what?,red\n",
        "empty.csv": head + "test-0.png,what?,red,\n",
        "gone.csv": head + "test-0.png,what?,red,gone.png\ntest-0.png,who?,red,\n",
        "outside.csv": head + "test-0.png,what?,red,../train.csv\ntest-0.png,who?,red,\n",
    }.items():
        (tmp_path / name).write_text(text)
    for words, message in (
        ([asked, "--no-faithful"], "without --masks there is nothing to measure but faithfulness"),
        ([asked, "--masks", "nowhere"], "no folder of masks at nowhere"),
        ([asked, "bare.csv", "--masks", masks], "none of 1 questions names a mask: give a file with the column 'mask'"),
        ([asked, "empty.csv", "--masks", masks], "names a mask"),
        ([asked, "gone.csv", "--masks", masks], "gone.png"),
        ([asked, "outside.csv", "--masks", masks], "../train.csv"),
        ([asked, "--masks", masks, "--method", "hop 3"], "no look 'hop 3'"),
        ([asked, "--masks", masks, "--characters"], "--characters"),
        ([asked, "--masks", masks, "--split", "all"], "--split all is not offered here"),
        ([others / "vqa-question", "--masks", masks], "does not look at the image: there is nothing to measure"),
        ([asked, "--alignments", "x.align"], ""),
    ):
        refused(jumok, tmp_path, ("measure", *words, "--out", "out"), message)
