"""How the package is cited, and what it says of itself."""

import tomllib
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

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


def close_over(wanted, python):
    """The names of all packages that these bring on a version of Python, of those that are installed here."""
    found, left = set(), [(Requirement(each), "") for each in wanted]
    while left:
        requirement, extra = left.pop()
        here = {"python_version": python, "python_full_version": f"{python}.0", "extra": extra}
        if requirement.marker and not requirement.marker.evaluate(here):
            continue
        for own in ("", *requirement.extras):
            if (requirement.name, own) not in found:
                found.add((requirement.name, own))
                try:
                    left += [(Requirement(each), own) for each in requires(requirement.name) or []]
                except PackageNotFoundError:
                    continue
    return {name for name, _ in found}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_pinned_packages_are_for_every_supported_python(python):
    extras = PROJECT["optional-dependencies"]
    own = [name for extra in ("measure", "train", "text", "tables", "samples", "fonts", "hf") for name in extras[extra]]
    names = close_over([*PROJECT["dependencies"], *(each for each in own if not each.startswith("jumok["))], python)
    assert {"torch", "matplotlib", "transformers", "sympy"} <= names
    for name in names:
        try:
            bounds = metadata(name).get("Requires-Python")
        except PackageNotFoundError:
            continue
        assert not bounds or f"{python}.0" in SpecifierSet(bounds), f"{name} needs Python {bounds}"
