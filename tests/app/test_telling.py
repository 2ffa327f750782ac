"""What is printed, in Korean: finished lines are recognised by their form, and what they name stays."""

from collections import Counter

import pytest
from rich.table import Table
from rich.text import Text

from jumok.app import telling
from jumok.app.telling import tell, tell_all
from jumok.language import later, speaking


@pytest.fixture
def korean():
    with speaking("ko"):
        yield


def test_english_stays_as_it_is():
    assert tell("  remark: no such file: a.png") == "  remark: no such file: a.png"


@pytest.mark.usefixtures("korean")
@pytest.mark.parametrize(
    ("english", "korean_text"),
    [
        ("saved in runs/a; next: jumok eval runs/a", "저장: runs/a. 다음: jumok eval runs/a"),
        ("no system 'vit-tinny': did you mean 'vit-tiny'?", "시스템 'vit-tinny': 없습니다. 혹시 'vit-tiny'?"),
        ("time: 1 min 30 s (as asked), so 1,200 steps of 45 ms, 20.1 passes over the training data",
         "시간: 1 min 30 s(지정한 값). 스텝당 45 ms로 1,200 스텝, 학습 데이터를 20.1번 봅니다"),
        ("learning rate: 0.003 (usual for this system; loss after 48 steps by rate: 0.0003: 1.4, 0.001: 1.2)",
         "학습률: 0.003(이 시스템에 보통 쓰는 값. 48 스텝 뒤 학습률별 손실: 0.0003: 1.4, 0.001: 1.2)"),
        ("240 training and 60 validation images of 4 classes; vit-tiny with 1.20 million weights; 10 epochs of 15 "
         "steps of 16; CPU threads: 2",
         "학습 이미지 240개, 검증 이미지 60개 (클래스 4개). vit-tiny, 가중치 1.20백만 개. 10 에포크, 에포크당 15 스텝, "
         "배치 16. CPU 스레드: 2"),
        ("  remark: images", "  참고: 이미지"),
        ("1 object: rows 1 to 2, columns 3 to 4", "물체 1개, 첫 번째: 행 1~2, 열 3~4"),
        ("remark: faithfulness of 11 images: the time was up; the same command goes on from there",
         "참고: 충실도, 이미지 11개: 시간이 다 되었습니다; 같은 명령을 다시 쓰면 이어서 합니다"),
        ("an error of a library", "an error of a library"),
        ("model: hidden 96, dropout 0.4: 600 pairs, 15 target entries, 0.0% of the validation words new",
         "모델: hidden 96, dropout 0.4: 문장 쌍 600개, 타깃 항목 15개, 검증 단어 중 새 단어 0.0%"),
    ],
)  # fmt: skip
def test_a_finished_text_is_told_with_its_values(english, korean_text):
    assert tell(english) == korean_text


@pytest.mark.usefixtures("korean")
def test_names_that_read_like_texts_stay():
    assert tell("no such file: no such file: a.png") == "그런 파일이 없습니다: no such file: a.png"
    assert tell("saved in images; next: images") == "저장: images. 다음: images"


@pytest.mark.usefixtures("korean")
def test_a_text_that_can_be_read_in_two_ways_stays():
    twice = "data moved from x to y to z"
    assert tell(twice) == twice


@pytest.mark.usefixtures("korean")
def test_headings_of_a_table_are_told_and_its_cells_stay():
    table = Table("attends to", caption="rows: true class; columns on the right: predicted class")
    table.add_row("attends to")
    told = tell_all(table)
    assert (told.columns[0].header, told.caption) == ("보는 것", "행: 실제 클래스, 오른쪽 열: 예측한 클래스")
    assert list(told.columns[0].cells) == ["attends to"]
    assert tell_all(Text("page: a.html")).plain == "페이지: a.html"


@pytest.mark.usefixtures("korean")
def test_cells_that_are_texts_are_told_and_names_in_headings_stay():
    table = Table()
    table.add_column(Text("images"))
    table.add_column("images")
    table.add_row("kept", later("kept"))
    first, second = tell_all(table).columns
    assert (first.header.plain, second.header) == ("images", "이미지")
    assert [*first.cells, *second.cells] == ["kept", "선택"]


def test_errors_and_remarks_of_commands_are_in_korean(jumok, tmp_path):
    said = jumok("--language", "ko", "eval", tmp_path / "none")
    assert (said.status, said.err) == (2, f"jumok: run이 없습니다: {tmp_path / 'none'}\n")
    assert jumok("--language", "en", "eval", tmp_path / "none").err == f"jumok: no run at {tmp_path / 'none'}\n"
    said = jumok("--language", "ko", "train", tmp_path, "--time", "5m", "--epochs", "2")
    assert said.err == "jumok: --time과 --epochs는 둘 다 학습 길이를 정합니다. 하나를 빼세요\n"


def test_json_stays_in_english(jumok, tmp_path):
    (tmp_path / "image.png").write_bytes(b"")
    said = jumok("--language", "ko", "runs", tmp_path, "--json")
    assert '"runs"' in said.out
    assert not any("가" <= sign <= "힣" for sign in said.out)


@pytest.mark.usefixtures("korean")
def test_a_text_that_may_be_read_in_thousands_of_ways_is_told_soon():
    part = "a.json is of something, a part of x only: put it on its base; merge it by its own means, and save the whole"
    met = Counter()

    def count(text, known):
        met[text] += 1
        return look_up(text, known)

    look_up = telling._look_up
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(telling, "_look_up", count)
        told = tell(f"cannot open hf:m: {part}: {part}; {part}")
    assert told.startswith("열 수 없습니다: hf:m.")
    assert max(met.values()) == 1, "each part is looked up once"


def test_names_in_tables_stay_on_one_line_and_as_they_are():
    table = Table("class")
    table.add_column(Text("two\nlines"))
    table.add_row(Text("a\nb"), "tab\there [red]x[/red]")
    shown = tell_all(table)
    assert [str(column.header) for column in shown.columns] == ["class", "two\\nlines"]
    assert [[str(cell) for cell in column.cells] for column in shown.columns] == [
        ["a\\nb"],
        ["tab\\there [red]x[/red]"],
    ]
