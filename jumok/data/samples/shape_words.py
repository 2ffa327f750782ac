"""English and Korean words for questions about coloured shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from jumok.data.samples.shapes import COLOURS, SHAPES


class QuestionForm(Protocol):
    """What a question says: its form, and the colour and the shape that it names, or an empty string."""

    @property
    def form(self) -> str: ...
    @property
    def colour(self) -> str: ...
    @property
    def shape(self) -> str: ...


class Language(NamedTuple):
    """One language.

    Args:
        forms: for each form of a question its text, with places for what `question` fills in.
        colours: as said of an object.
        names: of shapes, and what is answered by: colours, shapes, yes and no.
        plurals: of shapes, where they differ.
    """

    forms: Mapping[str, str]
    colours: Mapping[str, str]
    names: Mapping[str, str]
    plurals: Mapping[str, str]

    def question(self, asked: QuestionForm) -> str:
        """The text of a question."""
        colour, shape = self.colours.get(asked.colour, ""), self.names.get(asked.shape, "")
        return self.forms[asked.form].format(
            colour=colour,
            shape=shape,
            many=self.plurals.get(asked.shape, shape),
            a="an" if colour[:1] in "aeiou" else "a",
            topic="은" if _ends_in_consonant(shape) else "는",
            subject="이" if _ends_in_consonant(shape) else "가",
        )

    def answer(self, answer: str | int) -> str:
        """The text of an answer; numbers are written in digits."""
        return str(answer) if isinstance(answer, int) else self.names[answer]


def _ends_in_consonant(word: str) -> bool:
    """Whether a Korean word ends in a consonant: syllables are in the order of their last sound, 28 of each kind."""
    return bool(word) and (ord(word[-1]) - ord("가")) % 28 > 0


def _pair_names(names: Iterable[str], words: str) -> dict[str, str]:
    return dict(zip(names, words.split(", "), strict=True))


def _write_relations(text: str, asked: Mapping[str, str], relations: Mapping[str, str]) -> dict[str, str]:
    """The texts that ask for the colour or the shape of an object in some relation to another."""
    return {
        f"{relation} {attribute}": text.replace("ASKED", what).replace("RELATION", where)
        for relation, where in relations.items()
        for attribute, what in asked.items()
    }


RELATIONS = ("left", "right", "above", "below", "closest", "farthest")
ANSWERS = (*COLOURS, *SHAPES, "yes", "no")

ENGLISH = Language(
    forms={
        "which colour": "What colour is the {shape}?",
        "which shape": "What shape is the {colour} object?",
        "exists": "Is there {a} {colour} {shape}?",
        "count shape": "How many {many} are there?",
        "count colour": "How many {colour} objects are there?",
        **_write_relations(
            "What ASKED is the object RELATION the {colour} {shape}?",
            {"colour": "colour", "shape": "shape"},
            _pair_names(RELATIONS, "left of, right of, above, below, closest to, farthest from"),
        ),
    },
    colours={name: name for name in COLOURS},
    names={name: name for name in ANSWERS},
    plurals={**{name: f"{name}s" for name in SHAPES}, "cross": "crosses"},
)
KOREAN = Language(
    forms={
        "which colour": "{shape}{topic} 무슨 색인가요?",
        "which shape": "{colour} 물체는 무슨 모양인가요?",
        "exists": "{colour} {shape}{subject} 있나요?",
        "count shape": "{shape}{subject} 몇 개 있나요?",
        "count colour": "{colour} 물체가 몇 개 있나요?",
        **_write_relations(
            "{colour} {shape}RELATION 물체는 무슨 ASKED인가요?",
            {"colour": "색", "shape": "모양"},
            _pair_names(
                RELATIONS,
                "의 왼쪽에 있는, 의 오른쪽에 있는, 의 위쪽에 있는, 의 아래쪽에 있는, 에서 가장 가까운, 에서 가장 먼",
            ),
        ),
    },
    colours=_pair_names(COLOURS, "빨간, 주황색, 노란, 초록색, 파란, 보라색"),
    names=_pair_names(ANSWERS, "빨강, 주황, 노랑, 초록, 파랑, 보라, 원, 사각형, 삼각형, 별, 십자가, 네, 아니요"),
    plurals={},
)
WORDS = {"en": ENGLISH, "ko": KOREAN}
