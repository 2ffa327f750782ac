"""What every attribution method must hold, whichever it is: found by the files of `jumok.attribution`."""

import importlib
import inspect
import pkgutil

import pytest

import jumok.attribution
from jumok.watching.seen import Seen

METHODS = [found.name for found in pkgutil.iter_modules(jumok.attribution.__path__)]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_a_function_of_its_file_s_name_and_what_was_seen_offers_it(name):
    function = getattr(importlib.import_module(f"jumok.attribution.{name}"), name)
    assert inspect.isfunction(function)
    assert "Source:" in inspect.getsource(inspect.getmodule(function))
    assert callable(getattr(Seen, name))


def test_there_are_methods():
    assert {"rollout", "relevance", "bimodal_relevance", "grad_cam"} <= set(METHODS)
