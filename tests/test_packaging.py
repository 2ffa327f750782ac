"""How the package is cited, and what it says of itself."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


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
