"""How the package is cited, what it says of itself, and whether a user's own code checks strictly."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXAMPLE = """
from pathlib import Path

import torch
from torch import nn

import jumok


def explain(model: nn.Module, pixels: torch.Tensor, photo: Path) -> list[tuple[str, float]]:
    with jumok.watch(model) as seen:
        logits = model(pixels)
    evidence = seen.relevance(logits[:, 0]).at(batch=0)
    evidence.draw(photo, "evidence.png", vmax=0.1, cmap="viridis")
    seen.rollout().at(batch=0).show(photo)
    jumok.draw(evidence, photo, Path("again.pdf"))
    jumok.AttentionMap(torch.eye(2), jumok.Tokens(("a", "b")), jumok.Tokens(("c", "d"))).draw("words.svg")
    return evidence.top(5)


def answer(folder: str) -> None:
    run: jumok.Run = jumok.load(folder)
    print(run.predict("photo.jpg").label)
"""


def test_the_citation_has_the_packages_version_and_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert citation["title"].startswith("jumok: ")
    assert citation["authors"]


def test_every_supported_python_has_its_classifier():
    named = {each.rpartition(" :: ")[2] for each in PROJECT["classifiers"] if each.startswith("Programming Language")}
    assert {"3.11", "3.12", "3.13"} <= named
    assert PROJECT["requires-python"] == ">=3.11"


@pytest.mark.slow
def test_a_users_code_checks_strictly(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "example.py").write_text(EXAMPLE)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--follow-imports", "silent"]
    command += ["--cache-dir", str(tmp_path / "cache"), str(tmp_path / "example.py")]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
