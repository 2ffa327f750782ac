"""Whether a model has learnt anything that a guess does not give, in words."""

from __future__ import annotations

from collections.abc import Sequence

from jumok.language import later, list_later

__all__ = ["describe_shortfall", "judge_learnt"]


def judge_learnt(beaten: Sequence[str], unbeaten: Sequence[str]) -> str:
    """Say whether a model is better than all baselines.

    Args:
        beaten: names of the baselines that it is significantly better than.
        unbeaten: names of the others.
    Returns:
        a sentence; empty where there are no baselines.

    >>> judge_learnt(["copying"], ["guessing", "looking up"])
    'not significantly better than guessing and looking up: it has learnt nothing that these do not give'
    """
    if unbeaten:
        these = later("these do") if len(unbeaten) > 1 else later("this does")
        text = later("not significantly better than {names}: it has learnt nothing that {these} not give")
        return later(text, names=list_later(unbeaten), these=these)
    return later("significantly better than {names}", names=list_later(beaten)) if beaten else ""


def describe_shortfall(unbeaten: Sequence[str], noun: str) -> str:
    """What to say at the end of a training of a model that is not better than all baselines.

    Args:
        unbeaten: names of the baselines that it is not significantly better than.
        noun: what it learns from, in the plural.
    Returns:
        a warning; empty where it is better than all.
    """
    verdict = judge_learnt((), unbeaten)
    text = later("this model is {verdict}. What may help: more {noun}, more --time")
    return verdict and later(text, verdict=verdict, noun=noun)
