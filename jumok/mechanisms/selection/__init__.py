"""Feature selection: which columns of a table tell its target, as attention of 0 or 1 over features."""

from jumok.mechanisms.selection.selectors import (
    JMI,
    METHODS,
    MRMR,
    AnovaF,
    FisherScore,
    MutualInformation,
    Selector,
    example,
    guess_kind,
    masks,
    select,
)

__all__ = [
    "JMI",
    "METHODS",
    "MRMR",
    "AnovaF",
    "FisherScore",
    "MutualInformation",
    "Selector",
    "example",
    "guess_kind",
    "masks",
    "select",
]
