"""With nothing but the core's requirements a model is watched and its maps are drawn; what needs more says so."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import jumok
from jumok.extras import EXTRAS, OF_EVERYTHING

ROOT = Path(jumok.__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OWN_MESSAGE = {"pyarrow", "pi_heif", "onnx", "onnxruntime", "onnxscript", "ctranslate2"}
"""Packages whose absence is told where they are used."""
ONLY_WHERE_THEY_ARE = {"IPython", "tokenizers"}
"""Imported where they are running anyway: a notebook, transformers."""

WITHOUT_EXTRAS = """
import sys

refused = set({refused!r})


class OnlyTheCore:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, OnlyTheCore())
"""


def plain(name):
    return name.lower().replace("_", "-")


def close_over(names):
    """All that a package index would install for these, from what is installed here."""
    found, left = set(), [plain(name) for name in names]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        try:
            wanted = [Requirement(each) for each in requires(name) or []]
        except PackageNotFoundError:
            continue
        left += [plain(each.name) for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture(scope="module")
def core():
    """The modules that can be imported where the core alone is installed."""
    installed = close_over(Requirement(each).name for each in PROJECT["dependencies"])
    modules = packages_distributions().items()
    return {module for module, names in modules if installed & {plain(name) for name in names}}


def run_with(core, code, folder):
    refused = packages_distributions().keys() - core - {"jumok"}
    program = WITHOUT_EXTRAS.format(refused=sorted(refused)) + code
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )


def call(*arguments):
    return f"import sys; from jumok.app.cli import main; sys.argv = {['jumok', *arguments]!r}; main()"


def test_a_model_is_watched_and_drawn(core, tmp_path):
    code = """
import torch
import jumok

layer = torch.nn.TransformerEncoderLayer(16, 2, batch_first=True)
model, texts = torch.nn.TransformerEncoder(layer, 2).eval(), torch.randn(1, 3, 16)
with jumok.watch(model, tokens=["one", "two", "three"]) as seen:
    answer = model(texts)
seen[0].mean("batch", "head").draw("map.png")
seen.rollout(0).at(batch=0).draw("rollout.svg")
seen.relevance(answer[:, 0, 0], query=0).at(batch=0).draw("relevance.pdf")
seen[0].save("map.safetensors")
assert torch.equal(jumok.AttentionMap.load("map.safetensors").weights, seen[0].weights)
"""
    done = run_with(core, code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert {each.name for each in tmp_path.iterdir()} == {"map.png", "rollout.svg", "relevance.pdf", "map.safetensors"}


def test_what_needs_more_names_the_command_that_brings_it(core, tmp_path):
    done = run_with(core, "import jumok; jumok.MutualInformation", tmp_path)
    assert "jumok.MutualInformation: this needs" in done.stderr
    assert "[all]'" in done.stderr
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    done = run_with(core, call("select", "table.csv", "--target", "b"), tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "which is not installed: pip install" in done.stderr


def test_help_and_version_need_no_extra(core, tmp_path):
    for flag in ("--help", "--version"):
        assert run_with(core, call(flag), tmp_path).returncode == 0


def test_every_package_that_is_imported_is_of_the_core_or_an_extra(core):
    imported = set()
    for path in Path(jumok.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).partition(".")[0])
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
                name = node.args[0]  # where it is no plain text, it is one of jumok's own, from a table
                imported.add(name.value.partition(".")[0] if isinstance(name, ast.Constant) else "jumok")
    left = imported - core - set(sys.stdlib_module_names) - {"jumok"}
    assert left - set(EXTRAS) - OWN_MESSAGE - ONLY_WHERE_THEY_ARE == set()


def test_every_extra_that_is_named_is_there_and_the_one_for_all_has_them():
    extras = PROJECT["optional-dependencies"]
    assert set(EXTRAS.values()) <= set(extras)
    (everything,) = extras["all"]
    assert set(Requirement(everything).extras) >= OF_EVERYTHING
