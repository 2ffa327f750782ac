"""Imports run one way, and heavy libraries wait until they are needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import jumok
from jumok.systems import SYSTEMS

PACKAGE = Path(jumok.__file__).parent

# Each part of the package, and the parts that it may import, itself and those in `COMMON` understood.
GROUND = (
    "errors",
    "files",
    "version",
    "durations",
    "wording",
    "wanted_values",
    "extras",
    "language",
    "machine",
    "intervals",
    "special_tokens",
)
MAY_IMPORT: dict[str, set[str]] = {
    **{part: set() for part in GROUND},
    "attention": set(),
    "watching": {"attention"},
    "attribution": {"attention", "watching"},
    "mechanisms": {"attention", "watching", "machine"},
    "systems": {"attention", "watching", "mechanisms", "special_tokens"},
    "data": {"special_tokens", "machine"},
    "measures": {"attention", "intervals"},
    "views": {"attention"},
    "tasks": {
        "attention",
        "watching",
        "attribution",
        "mechanisms",
        "systems",
        "data",
        "special_tokens",
        "machine",
        "intervals",
    },
    "app": {"attention", "attribution", "mechanisms", "systems", "data", "measures", "views", "tasks", "machine"},
    "locale": {"app", "tasks", "views"},
    "__main__": {"app"},
}
COMMON = {"errors", "files", "version", "durations", "wording", "wanted_values", "extras", "language"}
HEAVY = ("torch", "numpy", "lightning", "pytorch_lightning", "matplotlib", "kornia", "sklearn", "transformers", "PIL")


def files():
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def part_of(path):
    """The part of the package that a file belongs to: its folder or, at the top, its own name."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path):
    """Full names of all that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full, from jumok. ..."
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_parts(path):
    """The parts of the package that a file imports; names that the package itself holds belong to none."""
    for name in imported(path):
        top, _, rest = name.partition(".")
        part = rest.partition(".")[0]
        if top == "jumok" and part and ((PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file()):
            yield part


def test_every_part_has_its_place():
    assert {part_of(path) for path in files()} <= set(MAY_IMPORT)


def test_the_rules_themselves_run_one_way():
    done, left = set(), dict(MAY_IMPORT)
    while left:
        free = {part for part, needs in left.items() if needs <= done}
        assert free, f"these import each other in a circle: {sorted(left)}"
        done |= free
        left = {part: needs for part, needs in left.items() if part not in free}


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_one_way(path):
    part = part_of(path)
    wrong = {other for other in imported_parts(path) if other != part} - MAY_IMPORT[part] - COMMON
    assert not wrong, f"{part} may import {sorted(MAY_IMPORT[part])}, and {path.name} imports {sorted(wrong)}"


def test_a_wrong_import_is_found(tmp_path):
    file = tmp_path / "wrong.py"
    file.write_text(
        "import jumok.app.cli\nfrom jumok import systems, JumokError\ndef f():\n    from jumok.tasks import run\n"
    )
    assert set(imported_parts(file)) == {"app", "systems", "tasks"}


def imported_files(path):
    """The files of the package that a file imports, wherever in it; `import jumok` itself counts as none."""
    for name in imported(path):
        top, *rest = name.split(".")
        while top == "jumok" and rest:
            target = PACKAGE.joinpath(*rest)
            if (found := target.with_suffix(".py")).is_file() or (found := target / "__init__.py").is_file():
                yield found
                break
            rest.pop()


def test_no_file_imports_itself_in_a_circle():
    left = {path: set(imported_files(path)) for path in files()}
    done = {PACKAGE / "__init__.py"}
    while left:
        free = {path for path, needs in left.items() if needs <= done}
        assert free, f"these import each other in a circle: {sorted(str(path.relative_to(PACKAGE)) for path in left)}"
        done |= free
        left = {path: needs for path, needs in left.items() if path not in free}


def test_no_system_imports_another():
    models = {system.model.__module__ for system in SYSTEMS.values()}
    systems = {PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py") for module in models}
    folder = PACKAGE / "systems"
    wrong = {
        path.name: sorted(other.name for other in others)
        for path in folder.glob("*.py")
        if path.name != "__init__.py" and (others := systems & set(imported_files(path)) - {path})
    }
    assert len(systems) >= 9
    assert not wrong, f"systems share what stands in parts.py, and these import another system: {wrong}"


def test_torchvision_is_no_dependency():
    users = [path for path in files() if any(name.split(".")[0] == "torchvision" for name in imported(path))]
    assert not users


@pytest.mark.parametrize("module", ["jumok", "jumok.app.cli"])
def test_importing_does_not_import_what_is_heavy(module):
    script = f"import sys, {module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


WITHOUT_A_RUN = ("saliency a.png", "select a.csv --target part --k 1", "look a.png")
OF_A_RUN = (
    "jumok.app.commands.ask jumok.tasks.answer.run jumok.tasks.answer.looking",
    "jumok.app.commands.translate jumok.tasks.translate.run jumok.tasks.running.precision",
    "jumok.app.classify.look jumok.tasks.classify.any_classifier jumok.tasks.classify.looking "
    "jumok.tasks.classify.regions",
)
TRAINING_LOOP = ("pytorch_lightning", "torchmetrics")


def loaded(script, folder):
    """Which parts of the training loop a script leaves loaded."""
    script += f"\nimport sys; print(*(name for name in {TRAINING_LOOP} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=folder, check=True)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("words", WITHOUT_A_RUN)
def test_a_command_that_trains_nothing_does_not_load_the_training_loop(words, tmp_path):
    from PIL import Image

    Image.new("RGB", (24, 24), "red").save(tmp_path / "a.png")
    (tmp_path / "a.csv").write_text("a,b,part\n" + "".join(f"{n},{n % 3},{'xy'[n % 2]}\n" for n in range(9)))
    assert loaded(f"from jumok.app.cli import run; run({words.split()!r})", tmp_path) == ""


@pytest.mark.parametrize("modules", OF_A_RUN, ids=lambda modules: modules.split()[0])
def test_using_a_trained_model_does_not_load_the_training_loop(modules, tmp_path):
    assert loaded(f"import {', '.join(modules.split())}", tmp_path) == ""


def test_a_misspelt_name_gets_a_suggestion_from_python():
    with pytest.raises(AttributeError, match="has no attribute 'wach'") as caught:
        jumok.wach  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("wach", jumok)  # by these the interpreter finds 'watch'
