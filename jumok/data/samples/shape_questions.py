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
from jumok.data.samples.shapes import COLOURS, LOOKS, SHAPES, Scene, Thing, find_alone, make_scene

LANGUAGES = tuple(WORDS)
KINDS = ("colour", "shape", "exists", "count", "beside", "closest", "farthest")
NAMES = {"colour": tuple(COLOURS), "shape": SHAPES}
OTHER = {"colour": "shape", "shape": "colour"}
COUNTS = (0, 1, 2, 3)
SIDES = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}
NEAREST_RATIO = 1.3
"""The second nearest object is at least so many times as far away as the nearest."""
FARTHEST_RATIO = 1.2
"""The farthest object is at least so many times as far away as the second farthest."""
LEAST_DIFFERENCE = 0.04
"""Differences of less than this part of the side count as none."""
MOST_SLANT = 0.6
"""What is beside an object is off its row, or column, by at most this part of the way to it."""


class AskedQuestion(NamedTuple):
    """A question with its answer."""

    kind: str
    language: str
    text: str
    answer: str
    about: tuple[int, ...]
    """The objects to look at, by their number in the scene."""


class QuestionSpec(NamedTuple):
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


def plan_questions(draw: Random, number: int, count: int, kinds: Sequence[str] = KINDS) -> list[QuestionSpec]:
    """What the questions about the image of this number are to be: all of different kinds, the kinds taking turns."""
    chosen = [kinds[(number * count + place) % len(kinds)] for place in range(count)]
    return [
        _plan_question(draw, kind, LANGUAGES[(number + place) % len(LANGUAGES)]) for place, kind in enumerate(chosen)
    ]


def _plan_question(draw: Random, kind: str, language: str) -> QuestionSpec:
    asked = kind if kind in NAMES else draw.choice(tuple(NAMES))
    if kind == "count":
        return QuestionSpec(kind, language, asked, draw.choice(COUNTS))
    likely = 0.5 if kind == "exists" else 1 / len(NAMES[asked])
    return QuestionSpec(kind, language, asked, int(draw.random() < likely))


def compose(draw: Random, wanted: list[QuestionSpec]) -> tuple[Scene, list[AskedQuestion]]:
    """Draw scenes until one offers all wanted questions, and ask them."""
    while True:
        things = make_scene(draw)
        choices: list[list[Fact]] = []
        for wish in wanted:
            choices.append(FINDERS[wish.kind](things, wish))
            if not choices[-1]:
                break
        else:
            facts = [draw.choice(choice) for choice in choices]
            return things, [_put_in_words(wish, fact) for wish, fact in zip(wanted, facts, strict=True)]


def _put_in_words(wish: QuestionSpec, fact: Fact) -> AskedQuestion:
    words = WORDS[wish.language]
    return AskedQuestion(wish.kind, wish.language, words.question(fact), words.answer(fact.answer), fact.about)


# -- what can be asked about a scene -------------------------------------------------------------


def _ask_described(things: Scene, wish: QuestionSpec) -> list[Fact]:
    """The colour of an object that is the only one of its shape, or the other way round."""
    named = OTHER[wish.asked]
    names = find_alone(things, named)
    return [
        Fact(f"which {wish.asked}", getattr(thing, wish.asked), (number,), **{named: getattr(thing, named)})
        for number, thing in enumerate(things)
        if getattr(thing, named) in names
    ]


def _ask_present(things: Scene, wish: QuestionSpec) -> list[Fact]:
    """An object; or one that is not there, though others of its colour and others of its shape are."""
    seen = {(thing.colour, thing.shape): number for number, thing in enumerate(things)}
    if wish.wanted:
        return [Fact("exists", "yes", (number,), *look) for look, number in seen.items()]
    colours, shapes = ({look[part] for look in seen} for part in (0, 1))
    absent = [look for look in LOOKS if look not in seen and look[0] in colours and look[1] in shapes]
    return [Fact("exists", "no", (), *look) for look in absent]


def _ask_counted(things: Scene, wish: QuestionSpec) -> list[Fact]:
    """The colours, or shapes, that so many objects have."""
    counts = Counter(getattr(thing, wish.asked) for thing in things)
    return [
        Fact(f"count {wish.asked}", wish.wanted, _find_all(things, wish.asked, name), **{wish.asked: name})
        for name in NAMES[wish.asked]
        if counts[name] == wish.wanted
    ]


def _find_all(things: Scene, attribute: str, name: str) -> tuple[int, ...]:
    return tuple(number for number, thing in enumerate(things) if getattr(thing, attribute) == name)


def _ask_beside(things: Scene, wish: QuestionSpec) -> list[Fact]:
    return [fact for side in SIDES for fact in _ask_related(things, wish, side)]


def _ask_closest(things: Scene, wish: QuestionSpec) -> list[Fact]:
    return list(_ask_related(things, wish, "closest"))


def _ask_farthest(things: Scene, wish: QuestionSpec) -> list[Fact]:
    return list(_ask_related(things, wish, "farthest"))


def _ask_related(things: Scene, wish: QuestionSpec, relation: str) -> Iterator[Fact]:
    """All that stands in this relation to another and is, or is not, like it in what is asked."""
    for number, thing in enumerate(things):
        found = find_related(things, number, relation)
        if found is None:
            continue
        answer = getattr(things[found], wish.asked)
        if (answer == getattr(thing, wish.asked)) == bool(wish.wanted):
            yield Fact(f"{relation} {wish.asked}", answer, (number, found), thing.colour, thing.shape)


Finder = Callable[[Scene, QuestionSpec], list[Fact]]
FINDERS: dict[str, Finder] = {
    "colour": _ask_described,
    "shape": _ask_described,
    "exists": _ask_present,
    "count": _ask_counted,
    "beside": _ask_beside,
    "closest": _ask_closest,
    "farthest": _ask_farthest,
}


# -- relations between objects -------------------------------------------------------------------


def find_related(things: Scene, number: int, relation: str) -> int | None:
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
        return _find_at_side(things, number, SIDES[relation])
    one = things[number]
    order = sorted((_distance(one, other), place) for place, other in enumerate(things) if place != number)
    return _find_farthest(order) if relation == "farthest" else _find_nearest(things, order)


def _distance(one: Thing, other: Thing) -> float:
    return math.hypot(other.x - one.x, other.y - one.y)


def _find_farthest(order: list[tuple[float, int]]) -> int | None:
    """The farthest, where the second farthest is clearly nearer."""
    return order[-1][1] if order[-1][0] >= FARTHEST_RATIO * order[-2][0] else None


def _find_nearest(things: Scene, order: list[tuple[float, int]]) -> int | None:
    """The nearest, where the others are clearly farther by their centres and by their rims."""
    near, found = order[0]
    rim = near - things[found].radius + LEAST_DIFFERENCE
    clear = all(far >= NEAREST_RATIO * near and far - things[place].radius >= rim for far, place in order[1:])
    return found if clear else None


def _find_at_side(things: Scene, number: int, side: tuple[int, int]) -> int | None:
    """The nearest at a side of one."""
    one = things[number]
    ways = [((other.x - one.x), (other.y - one.y)) for other in things]
    along = [x * side[0] + y * side[1] for x, y in ways]
    order = sorted(
        (math.hypot(*ways[place]), place)
        for place in range(len(things))
        if place != number and along[place] > -LEAST_DIFFERENCE
    )
    if not order or (found := _find_nearest(things, order)) is None:
        return None
    across = abs(ways[found][0] * side[1]) + abs(ways[found][1] * side[0])
    return found if across <= MOST_SLANT * along[found] else None
