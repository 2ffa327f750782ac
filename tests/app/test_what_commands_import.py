"""A short command imports what it uses, and nothing that takes as long as torch itself."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from question_helpers import write_squares

from jumok import systems
from jumok.app.cli import COMMANDS, main
from jumok.tasks import TASKS
from jumok.tasks.bounded import sizes_alone

SLOW = (
    "torch", "torch._dynamo", "sympy", "pytorch_lightning", "torchmetrics", "transformers", "kornia", "numba", "scipy",
    "sklearn", "pandas", "matplotlib", "sacrebleu",
)  # fmt: skip
USES = {
    "look": {"torch", "matplotlib"},
    "ask": {"torch", "matplotlib"},
    "predict": {"torch"},
    "translate": {"torch"},
    "measure": {"torch", "matplotlib", "kornia"},
    "saliency": {"torch", "matplotlib", "numba", "scipy"},
    "eval images": {"torch", "matplotlib"},
    "eval pairs": {"torch", "sacrebleu", "sklearn", "scipy", "pandas"},  # scikit-learn takes pandas where it is
    "eval questions": {"torch", "sklearn", "scipy", "pandas"},
    "inspect": {"torch", "matplotlib"},
    "runs": {"torch"},
    "systems": {"torch"},
}


TOGETHER = (
    ("systems", "runs", "predict", "translate", "look", "ask", "inspect", "eval images", "measure"),
    ("saliency",),
    ("eval questions", "eval pairs"),
)
"""What one process runs, one after another: what is imported stays so, and none may leave more than it uses."""
SCRIPT = f"""
import json, sys
from jumok.app.cli import main
found = []
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as stop:
        assert not stop.code
    found.append([name for name in {SLOW} if name in sys.modules])
print(json.dumps(found))
"""


def imported(lines, folder):
    """Which slow packages are imported after each of some commands, which one process runs."""
    given = json.dumps([list(map(str, words)) for words in lines])
    done = subprocess.run([sys.executable, "-c", SCRIPT, given], capture_output=True, text=True, cwd=folder, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def answerer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    write_squares(folder)
    words = ["train", folder, "--out", folder / "run", "--system", "vqa-stacked", "--epochs", 1, "--no-trust"]
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in (*words, "--option", "width=16")])
    assert stopped.value.code == 0
    return folder / "run"


@pytest.fixture
def words_of(request, coloured, tmp_path):
    """The command's line on one input; trains what it needs."""
    image = next(coloured.rglob("*.png"))
    run = request.getfixturevalue

    def line(verb):
        out = ("--out", tmp_path / verb.replace(" ", "-"))
        return {
            "look": lambda: [image, "--model", run("trained")],
            "ask": lambda: [run("answerer"), image, "what colour is left"],
            "predict": lambda: [run("trained"), image],
            "translate": lambda: [run("reverser"), "b c"],
            "measure": lambda: [run("trained"), "--most", "2", *out],
            "saliency": lambda: [image],
            "eval images": lambda: [run("trained"), *out],
            "eval pairs": lambda: [run("reverser"), *out],
            "eval questions": lambda: [run("answerer"), *out],
            "inspect": lambda: [coloured],
            "runs": lambda: [run("trained").parent],
            "systems": list,
        }[verb]()

    return line


@pytest.mark.parametrize("verbs", TOGETHER, ids=lambda verbs: verbs[-1])
def test_a_command_on_one_input_imports_what_it_uses(verbs, words_of, tmp_path):
    found = imported([[verb.split()[0], *words_of(verb)] for verb in verbs], tmp_path)
    assert {verb: set(names) - USES[verb] for verb, names in zip(verbs, found, strict=True)} == {
        verb: set() for verb in verbs
    }


def test_every_command_is_asked_before_those_that_use_more():
    assert sorted(verb for verbs in TOGETHER for verb in verbs) == sorted(USES)
    for verbs in TOGETHER:
        assert all(USES[before] <= USES[after] for before, after in pairwise(verbs))


def test_help_of_a_command_imports_nothing_slow(tmp_path):
    found = imported([[name, "--help"] for name in COMMANDS], tmp_path)
    assert dict(zip(COMMANDS, found, strict=True)) == {name: [] for name in COMMANDS}


def test_sizes_of_every_system_are_known_without_torch_s_compiler():
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from test_what_commands_import import build_all; build_all(); print('torch._dynamo' in sys.modules)"
    )
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", script, here, here.parent], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def build_all():
    """Every system of ours, without values."""
    given = {
        "classify": {"classes": 3},
        "translate": {"source_vocabulary": 20, "target_vocabulary": 20},
        "answer": {"words": 20, "answers": 5},
    }
    for task, options in given.items():
        for name in TASKS[task].systems:
            with sizes_alone():
                model = systems.build(name, systems.configure(name, **options))
            assert model.state_dict()
