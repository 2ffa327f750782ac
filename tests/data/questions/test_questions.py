"""Files of questions: every form they come in, what is left out and told, and what is wrong with them in one line."""

import gzip
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written_questions import HEAD, write, write_images

from jumok.data.questions import files as question_files
from jumok.data.questions import question_set
from jumok.data.questions.parts import find_image_folder
from jumok.data.questions.question_set import (
    normalise_answer,
    read_questions,
    score_answers,
)
from jumok.data.texts.vocabulary_builder import build_vocabulary
from jumok.errors import JumokError

NFD = unicodedata.normalize("NFD", "원은 무슨 색인가요?")


def rows(found):
    names = [found.image_of(number).name for number in range(len(found))]
    return list(zip(names, found.questions, found.answers, strict=True))


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path)


# -- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["q.csv", "q.tsv", "q.jsonl", "Q.CSV"])
def test_every_kind_of_table_says_the_same(tmp_path, images, name):
    kind = name[-3:].lower()
    table = [["image", "question", "kind", "answer", "mask", "more"]]
    table += [["a.png", "What, really?", "colour", "Red", "m/1.png", "-"]]
    table += [["deep/a.png", "그것은 무엇?", "", "공", "", "-"]]
    if kind == "onl"[-3:] or name.endswith("jsonl"):
        text = "".join(json.dumps(dict(zip(table[0], row, strict=True))) + "\n\n" for row in table[1:])
    else:
        part = "," if kind == "csv" else "\t"
        text = "".join(part.join(f'"{cell}"' for cell in row) + "\r\n" for row in table)
    for content in (text.encode(), b"\xef\xbb\xbf" + text.encode(), gzip.compress(text.encode())):
        found = read_questions([write(tmp_path / name, content)], images)
        assert rows(found) == [("a.png", "what, really?", ("red",)), ("a.png", "그것은 무엇?", ("공",))]
        assert found.images == (images / "a.png", images / "deep" / "a.png")
        assert (found.kinds, found.masks) == (("colour", ""), ("m/1.png", ""))
        assert (found.files, found.skipped, found.notes) == ((tmp_path / name,), {}, ())


@pytest.mark.parametrize("column", ["answer", "answers"])
def test_a_list_in_a_cell_is_several_answers_as_programs_write_it(tmp_path, images, column):
    text = f"image,question,{column}\n" + """a.png,one?,"[""red"", ""red"", 3]"\nb.png,two?,"['blue', 'red']"\n"""
    found = read_questions([write(tmp_path / "q.csv", text)], images)
    assert found.answers == (("red", "red", "3"), ("blue", "red"))
    odd = read_questions([write(tmp_path / "odd.csv", f"image,question,{column}\na.png,one?,[sic]\n")], images)
    assert odd.answers == (("[sic]",),)


def test_answers_that_contradict_and_bars_in_one_answer_are_told(tmp_path, images):
    text = HEAD + "a.png,one?,red\na.png,One?,blue\nb.png,two?,red|blue\nb.png,three?,red\nb.png,three?,Red\n"
    torn, barred = read_questions([write(tmp_path / "q.csv", text)], images).notes
    assert torn.startswith("1 question is asked about one image several times with different answers (a.png: one?)")
    assert barred.startswith("1 answer has a | in it ('red|blue') and is taken for one: call the column answers")


def test_images_are_found_by_whole_paths_and_by_those_of_windows(tmp_path, images):
    text = HEAD + f"deep\\a.png,one?,red\n{images / 'a.png'},two?,red\n"
    found = read_questions([write(tmp_path / "q.csv", text)], images)
    assert found.images == (images / "deep" / "a.png", images / "a.png")
    assert found.names[1] == "a.png"
    with pytest.raises(JumokError, match="lies outside"):
        read_questions([write(tmp_path / "out.csv", HEAD + f"{tmp_path / 'a.png'},two?,red\n")], images)


def test_an_empty_name_is_no_image_and_is_not_named(tmp_path, images):
    found = read_questions([write(tmp_path / "q.csv", HEAD + ",one?,red\na.png,two?,red\n")], images)
    assert (found.skipped, found.notes) == ({"no image": 1}, ())


def test_several_files_are_one_set_and_each_image_stands_in_it_once(tmp_path, images):
    first = write(tmp_path / "1.csv", HEAD + "a.png,one?,1\nb.png,two?,2\n")
    second = write(tmp_path / "2.jsonl", '{"image": "a.png", "question": "three?", "answer": 3}\n')
    found = read_questions([first, second], images)
    assert rows(found) == [("a.png", "one?", ("1",)), ("b.png", "two?", ("2",)), ("a.png", "three?", ("3",))]
    assert found.of == (0, 1, 0)


def test_quotes_hold_commas_quotes_and_line_breaks(tmp_path, images):
    text = HEAD + 'a.png,"What says ""stop"", the\nsign?","yes, it\ndoes"\n'
    assert rows(read_questions([write(tmp_path / "q.csv", text)], images)) == [
        ("a.png", 'what says "stop", the sign?', ("yes, it does",))
    ]


def test_quotes_of_a_tsv_are_text_unless_its_head_has_them_too(tmp_path, images):
    head = "image\tquestion\tanswer\n"
    lines = ['a.png\t"STOP" is written where?\tsign', 'b.png\t"how tall?\tbig', 'a.png\tis it 5"\t"yes"']
    found = read_questions([write(tmp_path / "q.tsv", head + "\n".join(lines))], images)
    assert rows(found) == [
        ("a.png", '"stop" is written where?', ("sign",)),
        ("b.png", '"how tall?', ("big",)),
        ("a.png", 'is it 5"', ('"yes"',)),
    ]
    doubled = head + 'a.png\t"is it 5"" tall?"\tyes\n'
    assert rows(read_questions([write(tmp_path / "q.tsv", doubled)], images)) == [("a.png", 'is it 5" tall?', ("yes",))]
    quoted = '"image"\t"question"\t"answer"\n"a.png"\t"what\tis ""it""?"\t"cat"\n'
    assert rows(read_questions([write(tmp_path / "q.tsv", quoted)], images)) == [("a.png", 'what is "it"?', ("cat",))]
    with pytest.raises(JumokError, match="line 2: 4 cells for 3 columns; no cell can hold a tab"):
        read_questions([write(tmp_path / "q.tsv", head + 'a.png\t"what\tis it?"\tcat\n')], images)


def test_case_is_kept_where_it_is_wanted_except_in_answers(tmp_path, images):
    path = write(tmp_path / "q.csv", HEAD + "a.png,Is it NATO?,Yes\n")
    assert rows(read_questions([path], images, lowercase=False)) == [("a.png", "Is it NATO?", ("yes",))]


def test_several_answers(tmp_path, images):
    table = write(tmp_path / "q.csv", "image,question,answers\na.png,which?,Red | dark red||red\n")
    lines = [
        {"image": "a.png", "question": "which?", "answer": ["Red", "dark red", None, " ", "red"]},
        {
            "image": "a.png",
            "question": "which?",
            "answers": [{"answer": "Red"}, {"answer": "dark red"}, {"a": 1}, "red"],
        },
        {"image": "a.png", "question": "which?", "answers": "Red | dark red||red"},
    ]
    keyed = write(tmp_path / "q.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    for _, _, answers in rows(read_questions([table, keyed], images)):
        assert answers == ("red", "dark red", "red")


def test_decomposed_hangul_is_the_same_question_answer_and_image(tmp_path, images):
    """As files made on a Mac have it: the name of the image on disk may be either."""
    composed, apart = "한.png", unicodedata.normalize("NFD", "둘.png")
    for name in (composed, apart):
        write(images / name, "")
    text = HEAD + f"{unicodedata.normalize('NFD', composed)},{NFD},{unicodedata.normalize('NFD', '빨강')}\n"
    text += f"{apart},{NFD},빨강\n"
    found = read_questions([write(tmp_path / "q.csv", text)], images)
    assert [answers for _, _, answers in rows(found)] == [("빨강",)] * 2
    assert found.images == (images / composed, images / apart)
    words = build_vocabulary("words", found.questions)[0]
    assert words.encode(NFD) == words.encode("원은 무슨 색인가요?") == words.encode(found.questions[0])


def vqa(folder, questions=None, annotations=None, **more):
    asked = {"questions": questions or [], "data_subtype": "val2014", **more}
    noted = {"annotations": annotations or [], "data_subtype": "val2014"}
    return [write(folder / "q.json", json.dumps(asked)), write(folder / "n.json", json.dumps(noted))]


def test_the_two_files_of_vqa(tmp_path, images):
    given = ["red"] * 6 + ["dark red"] * 3 + ["2"]
    answers = [{"answer": text, "answer_confidence": "yes", "answer_id": i} for i, text in enumerate(given, 1)]
    asked = [{"image_id": 12, "question": "What color?", "question_id": 12001}]
    asked += [{"image_id": 12, "question": "How many?", "question_id": 12002}]
    asked += [{"image_id": 12, "question": "Nobody said?", "question_id": 12003}]
    asked += [{"image_id": 13, "question": "Not here?", "question_id": 13001}]
    notes = [
        {"question_id": 13001, "image_id": 13, "multiple_choice_answer": "no"},
        {"question_id": 12002, "image_id": 12, "multiple_choice_answer": "Two", "question_type": "how many"},
        {"question_id": 12001, "image_id": 12, "answers": answers, "multiple_choice_answer": "red"},
    ]
    files = vqa(tmp_path, asked, notes)
    found = read_questions(files, images)
    assert rows(found) == [
        ("COCO_val2014_000000000012.jpg", "what color?", (*["red"] * 6, *["dark red"] * 3, "2")),
        ("COCO_val2014_000000000012.jpg", "how many?", ("2",)),
    ]
    assert found.kinds == ("", "how many")
    assert found.skipped == {"no answer": 1, "no image": 1}
    assert found.notes == (f"not in {images}: COCO_val2014_000000000013.jpg",)
    assert rows(read_questions(files[::-1], images)) == rows(found)
    marked = [write(path, b"\xef\xbb\xbf" + path.read_bytes()) for path in files]
    assert rows(read_questions(marked, images)) == rows(found)


# -- what is left out ---------------------------------------------------------------------------


def test_what_is_missing_is_counted_and_named(tmp_path, images):
    text = HEAD + "a.png,one?,1\na.png, \u3000,1\na.png,two?, \na.png,,\n"
    text += "".join(f"no{number}.png,{word}?,1\n" for number in range(5) for word in ("x", "y"))
    found = read_questions([write(tmp_path / "q.csv", text)], images)
    assert rows(found) == [("a.png", "one?", ("1",))]
    assert found.skipped == {"no question": 2, "no answer": 1, "no image": 10}
    assert found.notes == (f"not in {images}: no0.png, no1.png, no2.png and 2 more",)


def test_what_json_calls_nothing_is_nothing(tmp_path, images):
    lines = [{"image": "a.png", "question": None, "answer": "x"}, {"image": "a.png", "question": "x?", "answer": None}]
    lines += [{"image": None, "question": "x?", "answer": 1}, {"image": "a.png", "question": "x?", "answer": 0}]
    found = read_questions([write(tmp_path / "q.jsonl", "".join(json.dumps(line) + "\n" for line in lines))], images)
    assert rows(found) == [("a.png", "x?", ("0",))]
    assert found.skipped == {"no question": 1, "no answer": 1, "no image": 1}


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "deep/../../a.png", "C:/a.png", "..\\a.png"])
def test_an_image_stays_in_its_folder(tmp_path, images, name):
    path = write(tmp_path / "q.csv", HEAD + f"a.png,one?,1\n{name},two?,2\n")
    if "\\" in name:  # on this system a name like any other
        assert read_questions([path], images).skipped == {"no image": 1}
        return
    with pytest.raises(JumokError, match="lies outside"):
        read_questions([path], images)


@pytest.mark.parametrize("name", ["x" * 5000 + ".png", "a\\u0000.png", "\\ud800.png", "deep", "."])
def test_names_that_no_image_can_have_are_missing_images(tmp_path, images, name):
    lines = '{"image": "a.png", "question": "one?", "answer": "1"}\n'
    lines += f'{{"image": "{name}", "question": "two?", "answer": "2"}}\n'
    found = read_questions([write(tmp_path / "q.jsonl", lines)], images)
    assert found.skipped == {"no image": 1}
    assert all(len(note.encode()) < 1000 for note in found.notes)


def test_what_no_file_can_hold_does_not_come_in_by_json(tmp_path, images):
    line = '{"image": "a.png", "question": "\\ud800?", "answer": "\\udc00x", "kind": "\\ud800", "mask": "\\ud800"}'
    found = read_questions([write(tmp_path / "q.jsonl", line)], images)
    for text in (*found.questions, *found.answers[0], *found.kinds, *found.masks):
        text.encode()


# -- what is wrong is one line ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.csv", "", "lacks the column 'image': wanted image, question and answer, got nothing"),
        ("q.csv", "question,answer\nx,y\n", "lacks the column 'image'"),
        ("q.csv", "image,answer\nx,y\n", "lacks the column 'question'"),
        ("q.csv", "image,question\nx,y\n", "lacks the column 'answer'"),
        ("q.csv", "image,question,answer,image\na,b,c,d\n", "two columns 'image'"),
        ("q.csv", HEAD + "a.png,x?,1\na.png,x, y?,1\n", "line 3: 4 cells for 3 columns; put quotes around"),
        ("q.csv", HEAD + "a.png,x?\n", "line 2: 2 cells for 3 columns"),
        ("q.csv", HEAD + 'a.png,"x?,1\n', "line 2: a quote that begins in this row is never closed"),
        ("q.csv", HEAD + 'a.png,"x"?,1\n', "text follows a quote that closes a cell"),
        ("q.csv", HEAD.encode() + b"a.png,\xff?,1\n", "line 2: byte 0xff is not valid UTF-8"),
        ("q.csv", (HEAD + "a.png,x?,1\n").encode("utf-16"), "not valid UTF-8|zero byte"),
        ("q.csv", HEAD, "no question with an answer and an image in .*it is empty"),
        ("q.csv", HEAD + "a.png,,1\n", "1 no question"),
        ("q.csv", HEAD + "no.png,x?,1\n", "1 no image.*is .*images the folder that 'no.png' lies in"),
        ("q.csv", HEAD + "images/a.png,x?,1\n", "'images/a.png' lies in .*: give that by --images"),
        ("q.csv", HEAD + "a.png," + "x" * (1 << 20) + ",1\n", "longer than 1024 KiB"),
        ("q.csv", HEAD + 'a.png,"' + "x\n" * (1 << 20) + '",1\n', "field larger than field limit"),
        ("q.csv", None, "no such file"),
        ("q.json", None, "no such file"),
        ("q.xlsx", "PK", r"questions are .csv, .tsv, .jsonl or .json files"),
        ("q.jsonl", "{]\n", "line 1: not JSON"),
        ("q.jsonl", "\n[1]\n", "line 2: wanted keys and values"),
        ("q.jsonl", '{"image": "a.png", "question": "x?"}', "line 1.* lacks the column 'answer'"),
        ("q.jsonl", "[" * 100_000, "line 1: not JSON"),
        ("q.jsonl", '{"image": ' + "1" * 5000 + "}", "line 1: not JSON"),
        ("q.json", "{}", "VQA is two JSON files"),
        ("q.json", "[]", "holds no 'questions'"),
        ("q.json", b"\xff\xfe", "is not JSON"),
        ("q.json", "[" * 100_000, "is not JSON"),
        ("q.json", "1" * 5000, "is not JSON"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file(tmp_path, images, name, content, message):
    path = tmp_path / name
    if content is not None:
        write(path, content)
    with pytest.raises(JumokError, match=message) as told:
        read_questions([path], images)
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 1000


@pytest.mark.parametrize(
    ("questions", "annotations"),
    [
        ([{"question_id": 1, "image_id": 12}], []),
        ([{"question_id": 1, "question": "x?"}], []),
        ([{"question_id": [1], "question": "x?", "image_id": 12}], []),
        ([{"question_id": 1, "question": "x?", "image_id": "one"}], []),
        ([{"question_id": 1, "question": "x?", "image_id": float("inf")}], []),
        ([{"question_id": 1, "question": "x?", "image_id": float("nan")}], []),
        ([17], []),
        ([{"question_id": 1, "question": "x?", "image_id": 12}], [17]),
        ([{"question_id": 1, "question": "x?", "image_id": 12}], [{}]),
    ],
)
def test_json_that_is_not_of_vqa_s_form(tmp_path, images, questions, annotations):
    with pytest.raises(JumokError, match=r"is not of VQA's form|no question with|wanted a text or a number") as told:
        read_questions(vqa(tmp_path, questions, annotations), images)
    assert "\n" not in str(told.value)


def test_vqa_s_ids_may_be_numbers_in_one_file_and_text_in_the_other(tmp_path, images):
    asked = [{"image_id": 12, "question": "what?", "question_id": "70"}]
    noted = [{"question_id": 70, "question_type": "what", "answers": [{"answer": "cat"}], "image_id": 12}]
    assert read_questions(vqa(tmp_path, asked, noted), images).answers == (("cat",),)


@pytest.mark.parametrize("number", [12, "12", " 12", "abstract_v002_val2015_000000000012"])
def test_images_of_vqa_s_drawn_scenes(tmp_path, images, number):
    write(images / "abstract_v002_val2015_000000000012.png", "")
    head = {"data_type": "abstract_v002", "data_subtype": "val2015"}
    asked = {**head, "questions": [{"image_id": number, "question": "who?", "question_id": 120}]}
    noted = {**head, "annotations": [{"image_id": 12, "question_id": "120", "answers": [{"answer": "boy"}]}]}
    files = [write(tmp_path / f"{n}.json", json.dumps(each)) for n, each in enumerate((asked, noted))]
    assert rows(read_questions(files, images)) == [("abstract_v002_val2015_000000000012.png", "who?", ("boy",))]


def test_vqa_s_files_that_do_not_go_together_are_told_by_their_ids(tmp_path, images):
    asked = [{"image_id": 12, "question": "what?", "question_id": 70}]
    noted = [{"question_id": 71, "answers": [{"answer": "cat"}]}]
    with pytest.raises(JumokError, match=r"no question_id of .* stands in .* \(such as '70' and '71'\)"):
        read_questions(vqa(tmp_path, asked, noted), images)


def test_vqa_is_two_files_that_differ(tmp_path, images):
    asked, noted = vqa(tmp_path, [{"question_id": 1}], [{"question_id": 1}])
    for files in ([asked], [asked, asked], [noted, noted], [asked, noted, asked], [asked, tmp_path / "no.csv"]):
        with pytest.raises(JumokError, match=r"VQA is two JSON files|is not JSON|no such file"):
            read_questions(files, images)


def test_no_file_no_folder_and_too_much(tmp_path, images, monkeypatch):
    path = write(tmp_path / "q.csv", HEAD + "a.png,x?,1\n" * 3)
    with pytest.raises(JumokError, match="no file of questions"):
        read_questions([], images)
    with pytest.raises(JumokError, match=r"no folder of images at .*none: give it by --images"):
        read_questions([path], tmp_path / "none")
    monkeypatch.setattr(question_set, "MOST_QUESTIONS", 2)
    with pytest.raises(JumokError, match="more than 2 questions"):
        read_questions([path], images)
    monkeypatch.setattr(question_files, "MOST_JSON", 2)
    with pytest.raises(JumokError, match="is larger than"):
        read_questions(vqa(tmp_path), images)


# -- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("  The  Red ball. ", "red ball"), ("two", "2"), ("None", "0"), ("TEN", "10"), ("네!", "네"), ("A", "a"),
        ("the", "the"), ("an apple", "apple"), ("?", "?"), ("...", "..."), ("3.5", "3.5"), ("yes。", "yes"), ("", ""),
        ("theatre", "theatre"), ("someone", "someone"), (unicodedata.normalize("NFD", "빨강"), "빨강"),
    ],
)  # fmt: skip
def test_the_form_of_an_answer(text, form):
    assert normalise_answer(text) == form
    assert normalise_answer(form) == form


def official(answers, said):
    """As VQA's own evaluation: for each of the people, the others are asked; 3 of them who said it are enough."""
    scores = []
    for left_out in range(len(answers)):
        others = [answer for place, answer in enumerate(answers) if place != left_out]
        scores.append(min(1.0, sum(answer == said for answer in others) / 3))
    return sum(scores) / len(scores)


@given(st.lists(st.sampled_from("abcd"), min_size=10, max_size=10))
def test_ten_answers_are_scored_as_vqa_does(answers):
    assert score_answers(answers) == pytest.approx({said: official(answers, said) for said in set(answers)})


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=6))
def test_scores_are_shares_and_unanimity_is_right(answers):
    scores = score_answers(answers)
    assert set(scores) == set(answers)
    assert all(0 <= score <= 1 for score in scores.values())
    assert score_answers(["a"] * len(answers)) == {"a": 1.0}


# -- the images' folder -------------------------------------------------------------------------


def test_the_folder_of_images_is_the_one_beside_the_questions_that_holds_them(tmp_path):
    folder = tmp_path / "set"
    write(folder / "images" / "a.png", "")
    write(folder / "train.csv", HEAD + "gone.png,x?,1\na.png,x?,1\n")
    for paths in ([folder], [folder / "train.csv"], [folder / "train.csv", folder / "train.csv"]):
        assert find_image_folder(paths) == folder / "images"
    (folder / "images").rename(folder / "pictures")
    assert find_image_folder([folder]) is None
    write(folder / "a.png", "")
    assert find_image_folder([folder]) == folder


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("answer", "true", "true"), ("answer", "NaN", "NaN"), ("answer", '["red", false]', "false"),
        ("answers", '[{"answer": -Infinity}]', "-Infinity"), ("question", "true", "true"),
        ("image", "true", "true"), ("kind", "false", "false"), ("mask", "NaN", "NaN"),
    ],
)  # fmt: skip
def test_values_of_json_that_are_no_texts_are_refused(tmp_path, field, value, shown):
    row = {"image": '"a.png"', "question": '"x?"', "answer": '"red"'} | {field: value}
    good = '{"image": "a.png", "question": "x?", "answer": "red"}\n'
    line = ", ".join(f'"{name}": {text}' for name, text in row.items())
    path = write(tmp_path / "q.jsonl", f"{good}{{{line}}}\n")
    with pytest.raises(JumokError, match=f"q.jsonl, line 2: '{field}' is {shown}: wanted a text or a number"):
        list(question_files.read_files([path]))


def test_numbers_of_json_keep_their_text(tmp_path):
    numbers = ("1", "1.0", "1.50", "1e3", "10000000000000000000001")
    lines = (f'{{"image": "a.png", "question": "x?", "answer": {number}, "kind": null}}' for number in numbers)
    found = list(question_files.read_files([write(tmp_path / "q.jsonl", "\n".join(lines))]))
    assert [row.answers for row in found] == [(number,) for number in numbers]
    assert {row.kind for row in found} == {""}


@pytest.mark.parametrize("odd", ["true", "NaN"])
@pytest.mark.parametrize("where", ["questions", "annotations"])
def test_what_is_no_text_or_number_in_vqa_is_refused(tmp_path, images, where, odd):
    asked = {"questions": [{"image_id": 12, "question": "a dog?", "question_id": 1}]}
    noted = {"annotations": [{"image_id": 12, "question_id": 1, "answers": [{"answer": "yes"}]}]}
    texts = {"questions": json.dumps(asked), "annotations": json.dumps(noted)}
    texts[where] = texts[where].replace('"a dog?"' if where == "questions" else '"yes"', odd)
    for name, text in texts.items():
        (tmp_path / f"{name}.json").write_text(text)
    name = "question" if where == "questions" else "answers"
    with pytest.raises(JumokError, match=rf"{where}.json, entry 1: '{name}' is {odd}: wanted a text or a number"):
        read_questions([tmp_path / "questions.json", tmp_path / "annotations.json"], images)


def test_numbers_in_vqa_are_answers_as_they_are_spelt(tmp_path):
    asked = {"questions": [{"image_id": 12, "question": "how long?", "question_id": 1}]}
    noted = '{"annotations": [{"image_id": 12, "question_id": 1, "answers": [{"answer": 2.50}]}]}'
    (tmp_path / "questions.json").write_text(json.dumps(asked))
    (tmp_path / "annotations.json").write_text(noted)
    (row,) = question_files.read_files([tmp_path / "questions.json", tmp_path / "annotations.json"])
    assert (row.image, row.answers) == ("000000000012.jpg", ("2.50",))
