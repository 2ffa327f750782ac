"""The colours of pictures and pages, each in this one place."""

from __future__ import annotations

__all__ = [
    "BASELINE_GREYS",
    "BELOW_ZERO",
    "CHART_BLUE",
    "CHART_ORANGE",
    "CHART_ZERO",
    "DIVERGING",
    "FAINT_LINE",
    "GOLD_LINK",
    "GRAIN",
    "HEAT_POWER",
    "INK",
    "LINE_COLOURS",
    "LINE_WEDGE",
    "METHOD_COLOURS",
    "MINUS",
    "OBJECT_BOX",
    "PALE",
    "PLUS",
    "QUIET",
    "RIGHT_ANSWER",
    "SEQUENTIAL",
    "SHADES",
    "STRONGEST_HEAT",
    "WINDOW_LINE",
]

# -- maps ---------------------------------------------------------------------------------------

SEQUENTIAL = "inferno"
"""Perceptually uniform, and dark where nothing is seen."""
DIVERGING = "RdBu_r"
"""White at 0."""
STRONGEST_HEAT, HEAT_POWER = 0.90, 1.5
"""Opacity of the heat where the weight is largest, and the power of the share by which it falls to 0 with the weight:
the image keeps its colours where little is seen."""
GRAIN = 0.02
"""Of an image's longer side, that heat of single pixels is blurred by (the standard deviation) to be seen over it."""
SHADES = ("#ffffff", "#fde7c8", "#f9b664", "#dd6b1f", "#983a0a", "#481a06")
"""Alignments: white where the weight is 0."""

# -- text and marks -----------------------------------------------------------------------------

INK, QUIET, PALE = "#1d1b19", "#6d675f", "#e3ded6"
PLUS, MINUS = "#b0440a", "#2b5c8a"
"""Bars of weights above and below 0."""
RIGHT_ANSWER = "#1d7d54"
GOLD_LINK, FAINT_LINE = "#0b5cad", "#8d8479"

# -- lines over images --------------------------------------------------------------------------

LINE_COLOURS = ("#ffd23f", "#ff7ab6", "#6fe3c1", "#63c7ff", "#ff9a4a", "#c6a2ff")
"""One for each place that lines start from."""
BELOW_ZERO = "#63c7ff"
LINE_WEDGE = "#c9971a"
"""The legend of how thick lines are."""
WINDOW_LINE = "#ffc233"
OBJECT_BOX = "#d1420a"

# -- charts -------------------------------------------------------------------------------------

CHART_BLUE, CHART_ORANGE = "#1f3a8a", "#e4572e"
CHART_ZERO = "#c4c9d1"
"""Counts of 0, which need not be seen at once."""
METHOD_COLOURS = (CHART_BLUE, "#5b8def", "#0f766e", "#7c3aed")
BASELINE_GREYS = ("#9ca3af", "#7b8494", "#565e6c", "#334155")
