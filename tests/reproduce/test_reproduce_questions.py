"""Tables of questions: their rows, and a whole one at a small size."""

import json

import pytest

from reproduce import answerers, easy_vqa, sort_of_clevr
from reproduce.__main__ import main
from reproduce.answerers import ALL, Recipe
from reproduce.question_sets import Parts


def finished_run(folder):
    (folder / "eval").mkdir(parents=True)
    (folder / "card.md").write_text("| wall time | 1 h 2 min on cpu |\n")
    (folder / "metrics.csv").write_text("epoch,step\n1,10\n2,20\n")
    kinds = [{"kind": "relational", "questions": 5, "accuracy": 0.9123}]
    figures = {"questions": 10, "accuracy": 0.95, "by_kind": kinds}
    (folder / "eval" / "eval.json").write_text(json.dumps(figures))
    return folder


def test_each_kind_of_question_has_a_row_with_its_own_goal(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(answerers, "run", called.append)
    recipe = Recipe("net", "--epochs 2", (("relational", ">= 90"),), (("relational", 94.0),), "who")
    parts = Parts(tmp_path, tmp_path / "train.csv", tmp_path / "test.csv")
    every, relational = answerers.rows(recipe, parts, finished_run(tmp_path / "run"), threads=1, seed=0)
    assert called == [["eval", str(tmp_path / "run"), "--threads", "1"]]
    assert (every.case, every.ours, every.goal, every.published, every.source) == (ALL, 95.0, "", None, "")
    assert (relational.ours, relational.met, relational.published) == (91.23, True, 94.0)
    assert (relational.steps, relational.seconds, relational.source) == (20, 3720, "who")
    assert "5 questions" in relational.setup


def test_the_table_of_sort_of_clevr_at_a_small_size(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "rows.json"
    words = ["sort_of_clevr", "--quick", "--images", "230", "--runs", str(tmp_path / "runs"), "--out", str(out)]
    assert main(words) == 0
    rows = json.loads(out.read_text())["rows"]
    assert {row["case"] for row in rows} == {ALL, "relational", "non-relational"}
    assert all(20 <= row["ours"] <= 80 for row in rows)  # the question alone knows little, and not nothing


@pytest.mark.parametrize("table", [easy_vqa, sort_of_clevr])
def test_every_recipe_names_a_system_that_answers(table):
    from jumok.tasks import task_of_system

    for recipe in table.RECIPES.values():
        words = recipe.train.split()
        assert task_of_system(words[words.index("--system") + 1]).name == "answer"
