"""The tables of figures on a page that sets models beside each other."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jumok.language import translate
from jumok.views.pages.html_file import make_encodable, mark_language

__all__ = ["Column", "Measure", "escape", "write_table"]


@dataclass(frozen=True)
class Measure:
    """One figure of a model.

    Args:
        text: as it is shown.
        value: what its bar is long by; None for no bar.
        low, high: its interval, drawn on the bar; None for none.
        beaten_by: the baseline that is as good or better, where that is not in the table itself; empty for none.
    """

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    beaten_by: str = ""


@dataclass(frozen=True)
class Column:
    """One model.

    Args:
        name: of it.
        about: what it attends to, in a few words.
        figures: by heading.
        error: why it could not take part; it then has no figures and no maps.
        baseline: whether it is only there to be held against.
        parts: how right it is on each kind of test, in a table of their own; the most is best.
    """

    name: str
    about: str = ""
    figures: Mapping[str, Measure] = field(default_factory=dict)
    error: str = ""
    baseline: bool = False
    parts: Mapping[str, Measure] = field(default_factory=dict)


def escape(text: str) -> str:
    """Text as HTML that shows it, and nothing else."""
    return html.escape(make_encodable(text))


def write_table(columns: Sequence[Column], headings: Mapping[str, str], *, given: bool = False) -> str:
    """A row for each model, a column for each heading; the best figures are marked, unless a baseline is as good.

    Args:
        columns: the models.
        headings: of the figures, with what the best is: "most", "least" or "" for neither.
        given: the headings come from the user's data, and stay in its language.
    """
    beaten = {heading: _find_better_baseline(columns, heading, way) for heading, way in headings.items()}
    best = {
        heading: set() if beaten[heading] else _find_best(columns, heading, way) for heading, way in headings.items()
    }
    most = {heading: _find_most(columns, heading) for heading in headings}
    head = "".join(_write_heading(heading if given else translate(heading), beaten[heading]) for heading in headings)
    rows = []
    for column in columns:
        about = f'<span class="about">{escape(translate(column.about))}</span>' if column.about else ""
        name = f'<th scope="row"><b{mark_language(column.name)}>{escape(column.name)}</b>{about}</th>'
        if column.error:
            rows.append(f'<tr>{name}<td class="error" colspan="{len(headings)}">{escape(column.error)}</td></tr>')
            continue
        figures = "".join(
            _figure(column.figures.get(heading), most[heading], column.name in best[heading]) for heading in headings
        )
        kind = ' class="baseline"' if column.baseline else ""
        rows.append(f"<tr{kind}>{name}{figures}</tr>")
    return f'<thead><tr><th scope="col">{translate("model")}</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'


def _write_heading(heading: str, beaten_by: str) -> str:
    better = translate("no better than a baseline: {name}", name=beaten_by)
    won = f'<span class="beaten">{escape(better)}</span>' if beaten_by else ""
    return f'<th scope="col">{escape(heading)}{won}</th>'


def _list_values(columns: Sequence[Column], heading: str, *, baseline: bool) -> dict[str, float]:
    """The figures under a heading, of the models or of what they are held against."""
    found = {c.name: c.figures[heading].value for c in columns if heading in c.figures and c.baseline is baseline}
    return {name: value for name, value in found.items() if value is not None}


def _find_best(columns: Sequence[Column], heading: str, way: str) -> set[str]:
    """The models whose figure is the best; none where there is nothing to choose among."""
    values = _list_values(columns, heading, baseline=False)
    if not way or len(values) < 2:
        return set()
    top = max(values.values()) if way == "most" else min(values.values())
    return {name for name, value in values.items() if value == top}


def _find_better_baseline(columns: Sequence[Column], heading: str, way: str) -> str:
    """The baseline whose figure is better than every model's; empty for none."""
    values, others = (_list_values(columns, heading, baseline=each) for each in (False, True))
    if not way or not values:
        return ""
    sign = 1 if way == "most" else -1
    top = max(values, key=lambda name: sign * values[name])
    name = max(others, key=lambda other: sign * others[other], default="")
    if name and sign * others[name] > sign * values[top]:
        return name
    return next(column.figures[heading].beaten_by for column in columns if column.name == top)


def _find_most(columns: Sequence[Column], heading: str) -> float:
    """What fills a bar: the largest figure, or the end of its interval."""
    figures = [column.figures[heading] for column in columns if heading in column.figures]
    return max([max(figure.value or 0, figure.high or 0) for figure in figures], default=0) or 1


def _figure(figure: Measure | None, most: float, best: bool) -> str:
    if figure is None:
        return '<td class="none">&ndash;</td>'
    bar = ""
    if figure.value is not None:
        end = "" if figure.low is None or figure.high is None else _whisker(figure.low / most, figure.high / most)
        bar = (
            f'<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect width="{100 * max(figure.value, 0) / most:.2f}" height="6"/>{end}</svg>'
        )
    kind = ' class="best"' if best else ""
    return f"<td{kind}>{escape(figure.text)}{bar}</td>"


def _whisker(low: float, high: float) -> str:
    return f'<path d="M{100 * low:.2f} 3H{100 * high:.2f}"/>'
