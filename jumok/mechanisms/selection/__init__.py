"""Feature selection: which columns of a table tell its target, as attention of 0 or 1 over features."""

from jumok.mechanisms.selection.columns_in_turn import JMI, MRMR
from jumok.mechanisms.selection.selector import Selector, guess_kind
from jumok.mechanisms.selection.selectors import METHODS, example, masks, select
from jumok.mechanisms.selection.single_columns import AnovaF, FisherScore, MutualInformation

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
