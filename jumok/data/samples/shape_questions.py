"""Questions about scenes of coloured shapes, with their answers and the objects they are about.

What is to be answered is drawn first (yes or no, how many, the reference's own shape or another), then scenes until one
offers it. So all answers to a question are about as likely, and the question alone does not give its answer away.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

from jumok.data.samples.shape_words import WORDS
from jumok.data.samples.shapes import COLOURS, LOOKS, SHAPES, Scene, Thing, alone, scene

LANGUAGES = tuple(WORDS)
KINDS = ("colour", "shape", "exists", "count", "beside", "closest", "farthest")
NAMES = {"colour": tuple(COLOURS), "shape": SHAPES}
OTHER = {"colour": "shape", "shape": "colour"}
COUNTS = (0, 1, 2, 3)
SIDES = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}
NEARER = 1.3
"""The second nearest object is at least so many times as far away as the nearest; for the farthest, `FARTHER`."""
FARTHER = 1.2
CLEAR = 0.04
"""Differences of less than this part of the side count as none."""
ASLANT = 0.6
"""What is beside an object is off its row, or column, by at most this part of the way to it."""


class Question(NamedTuple):
    """A question with its answer."""

    kind: str
    language: str
    text: str
    answer: str
    about: tuple[int, ...]
    """The objects to look at, by their number in the scene."""


class Wish(NamedTuple):
    """What a question is to be."""

    kind: str
    language: str
    asked: str
    """The attribute that is asked for or counted: colour or shape."""
    wanted: int
    """How many are to be counted; else 1 or 0: whether it exists, whether the answer is the reference's own."""

    @property
    def shown(self) -> bool:
        """Whether the image has anything that the question is about."""
        return self.kind not in ("exists", "count") or self.wanted > 0


class Fact(NamedTuple):
    """A true thing to ask: the question's form, what it names, and the answer, as names that no language has."""

    form: str
    answer: str | int
    about: tuple[int, ...]
    colour: str = ""
    shape: str = ""


def wishes(draw: Random, number: int, count: int, kinds: Sequence[str] = KINDS) -> list[Wish]:
    """What the questions about the image of this number are to be: all of different kinds, the kinds taking turns."""
    chosen = [kinds[(number * count + place) % len(kinds)] for place in range(count)]
    return [_wish(draw, kind, LANGUAGES[(number + place) % len(LANGUAGES)]) for place, kind in enumerate(chosen)]


def _wish(draw: Random, kind: str, language: str) -> Wish:
    asked = kind if kind in NAMES else draw.choice(tuple(NAMES))
    if kind == "count":
        return Wish(kind, language, asked, draw.choice(COUNTS))
    likely = 0.5 if kind == "exists" else 1 / len(NAMES[asked])
    return Wish(kind, language, asked, int(draw.random() < likely))


def compose(draw: Random, wanted: list[Wish]) -> tuple[Scene, list[Question]]:
    """Draw scenes until one offers all wanted questions, and ask them."""
    while True:
        things = scene(draw)
        choices: list[list[Fact]] = []
        for wish in wanted:
            choices.append(FINDERS[wish.kind](things, wish))
            if not choices[-1]:
                break
        else:
            facts = [draw.choice(choice) for choice in choices]
            return things, [_in_words(wish, fact) for wish, fact in zip(wanted, facts, strict=True)]


def _in_words(wish: Wish, fact: Fact) -> Question:
    words = WORDS[wish.language]
    return Question(wish.kind, wish.language, words.question(fact), words.answer(fact.answer), fact.about)


# -- what can be asked about a scene -------------------------------------------------------------


def _described(things: Scene, wish: Wish) -> list[Fact]:
    """The colour of an object that is the only one of its shape, or the other way round."""
    named = OTHER[wish.asked]
    names = alone(things, named)
    return [
        Fact(f"which {wish.asked}", getattr(thing, wish.asked), (number,), **{named: getattr(thing, named)})
        for number, thing in enumerate(things)
        if getattr(thing, named) in names
    ]


def _present(things: Scene, wish: Wish) -> list[Fact]:
    """An object; or one that is not there, though others of its colour and others of its shape are."""
    seen = {(thing.colour, thing.shape): number for number, thing in enumerate(things)}
    if wish.wanted:
        return [Fact("exists", "yes", (number,), *look) for look, number in seen.items()]
    colours, shapes = ({look[part] for look in seen} for part in (0, 1))
    absent = [look for look in LOOKS if look not in seen and look[0] in colours and look[1] in shapes]
    return [Fact("exists", "no", (), *look) for look in absent]


def _counted(things: Scene, wish: Wish) -> list[Fact]:
    """The colours, or shapes, that so many objects have."""
    counts = Counter(getattr(thing, wish.asked) for thing in things)
    return [
        Fact(f"count {wish.asked}", wish.wanted, _all(things, wish.asked, name), **{wish.asked: name})
        for name in NAMES[wish.asked]
        if counts[name] == wish.wanted
    ]


def _all(things: Scene, attribute: str, name: str) -> tuple[int, ...]:
    return tuple(number for number, thing in enumerate(things) if getattr(thing, attribute) == name)


def _beside(things: Scene, wish: Wish) -> list[Fact]:
    return [fact for side in SIDES for fact in _related(things, wish, side)]


def _closest(things: Scene, wish: Wish) -> list[Fact]:
    return list(_related(things, wish, "closest"))


def _farthest(things: Scene, wish: Wish) -> list[Fact]:
    return list(_related(things, wish, "farthest"))


def _related(things: Scene, wish: Wish, relation: str) -> Iterator[Fact]:
    """All that stands in this relation to another and is, or is not, like it in what is asked."""
    for number, thing in enumerate(things):
        found = related(things, number, relation)
        if found is None:
            continue
        answer = getattr(things[found], wish.asked)
        if (answer == getattr(thing, wish.asked)) == bool(wish.wanted):
            yield Fact(f"{relation} {wish.asked}", answer, (number, found), thing.colour, thing.shape)


Finder = Callable[[Scene, Wish], list[Fact]]
FINDERS: dict[str, Finder] = {
    "colour": _described,
    "shape": _described,
    "exists": _present,
    "count": _counted,
    "beside": _beside,
    "closest": _closest,
    "farthest": _farthest,
}


# -- relations between objects -------------------------------------------------------------------


def related(things: Scene, number: int, relation: str) -> int | None:
    """The object in a relation to one of the scene; None where the eye might doubt which it is.

    Distances are between centres. `closest`, `farthest`: of all others. `left`, `right`, `above`, `below`: the nearest
    of all that are further to that side, by however little; it lies more to that side than off it.

    Args:
        things: the scene.
        number: of the object that the others are seen from.
        relation: closest, farthest, or one of SIDES.
    Returns:
        its number.
    """
    if relation in SIDES:
        return _at_side(things, number, SIDES[relation])
    one = things[number]
    order = sorted((_distance(one, other), place) for place, other in enumerate(things) if place != number)
    return _last(order) if relation == "farthest" else _first(things, order)


def _distance(one: Thing, other: Thing) -> float:
    return math.hypot(other.x - one.x, other.y - one.y)


def _last(order: list[tuple[float, int]]) -> int | None:
    """The farthest, where the second farthest is clearly nearer."""
    return order[-1][1] if order[-1][0] >= FARTHER * order[-2][0] else None


def _first(things: Scene, order: list[tuple[float, int]]) -> int | None:
    """The nearest, where the others are clearly farther by their centres and by their rims."""
    near, found = order[0]
    rim = near - things[found].radius + CLEAR
    clear = all(far >= NEARER * near and far - things[place].radius >= rim for far, place in order[1:])
    return found if clear else None


def _at_side(things: Scene, number: int, side: tuple[int, int]) -> int | None:
    """The nearest at a side of one."""
    one = things[number]
    ways = [((other.x - one.x), (other.y - one.y)) for other in things]
    along = [x * side[0] + y * side[1] for x, y in ways]
    order = sorted(
        (math.hypot(*ways[place]), place) for place in range(len(things)) if place != number and along[place] > -CLEAR
    )
    if not order or (found := _first(things, order)) is None:
        return None
    across = abs(ways[found][0] * side[1]) + abs(ways[found][1] * side[0])
    return found if across <= ASLANT * along[found] else None
