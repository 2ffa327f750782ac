"""Questions about images with their answers: read from files, and split so that no image stands on both sides."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from jumok.data.questions.files import QuestionRow, read_files
from jumok.data.questions.image_places import check_image_folder, find_image, find_images, name_within
from jumok.data.splits import QUESTION_SHARES, Shares, check_shares, count_held_out
from jumok.data.table_rows import BETWEEN
from jumok.data.texts.normal_form import clean
from jumok.errors import JumokError
from jumok.language import later_count
from jumok.wording import write_count

__all__ = [
    "DealtBy",
    "QuestionSet",
    "describe_left_out",
    "normalise_answer",
    "read_questions",
    "score_answers",
    "split_questions",
]

DealtBy: TypeAlias = Literal["folder", "name"]
"""What an image is known by, in the deal and in fingerprints (see `QuestionSet.known_as`)."""
MOST_QUESTIONS = 20_000_000
MOST_NAMED = 3
"""So many of what is missing are named."""
LONGEST_NAMED = 120
"""So many characters of a name are told."""
ARTICLES = frozenset({"a", "an", "the"})
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
DIGITS = {word: str(number) for number, word in enumerate(NUMBERS)} | {"none": "0"}


@dataclass(frozen=True)
class QuestionSet:
    """Questions about images, and what people answered.

    Args:
        images: each file once.
        of: which image each question is about.
        questions: cleaned (see `jumok.data.texts.normal_form.clean`), none empty.
        answers: of each question, one or several, in their normal form (see `normalise_answer`).
        kinds: of each question, as the file says it; "" where it does not.
        masks: of each question, the name of a mask of what it is about; "" where there is none.
        files: that were read.
        skipped: questions that were left out, by reason.
        notes: remarks for whoever supplied the files, one line each.
        names: of the images within their folder, with slashes and composed; empty: their files' own.
    """

    images: tuple[Path, ...]
    of: tuple[int, ...]
    questions: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...]
    masks: tuple[str, ...]
    files: tuple[Path, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.questions)

    def remarks(self) -> tuple[str, ...]:
        """The notes, and what was left out, one line each."""
        return (*self.notes, *describe_left_out(self.skipped))

    def image_of(self, number: int) -> Path:
        """The image that a question is about."""
        return self.images[self.of[number]]

    def known_as(self, image: int, dealt_by: DealtBy = "name") -> str:
        """What an image is known by: its name within the folder of images.

        Args:
            image: its number.
            dealt_by: "folder": the folder that it lies in and its file, as earlier versions did.
        """
        path = self.images[image]
        if dealt_by == "folder":
            return "/".join(path.parts[-2:])
        return self.names[image] if self.names else path.name

    def hashes(self, of_images: Mapping[Path, str]) -> list[str]:
        """By which each question about an image is known again wherever it stands: 32 hexadecimal digits.

        Args:
            of_images: the hashes of the images' files.
        """
        return [
            hashlib.blake2b(f"{of_images[self.image_of(number)]}\t{question}".encode(), digest_size=16).hexdigest()
            for number, question in enumerate(self.questions)
        ]

    def select(self, numbers: Sequence[int]) -> QuestionSet:
        """These questions only, in this order, and the images that they are about."""
        kept = dict.fromkeys(self.of[number] for number in numbers)
        place = {image: new for new, image in enumerate(kept)}
        return replace(
            self,
            images=tuple(self.images[image] for image in kept),
            names=tuple(self.names[image] for image in kept) if self.names else (),
            of=tuple(place[self.of[number]] for number in numbers),
            questions=tuple(self.questions[number] for number in numbers),
            answers=tuple(self.answers[number] for number in numbers),
            kinds=tuple(self.kinds[number] for number in numbers),
            masks=tuple(self.masks[number] for number in numbers),
        )

    def fingerprint(self, dealt_by: DealtBy = "name") -> str:
        """What changes when a question is added, removed, changed or moved, or asked about another image."""
        digest = hashlib.sha256()
        for number, (question, answers) in enumerate(zip(self.questions, self.answers, strict=True)):
            row = (*self.known_as(self.of[number], dealt_by).split("/"), question, *answers)
            digest.update(("\t".join(row) + "\n").encode(errors="surrogateescape"))
        return digest.hexdigest()[:32]


def describe_left_out(skipped: Mapping[str, int]) -> tuple[str, ...]:
    """A line on questions that were left out, by reason; none where there are none."""
    reasons = ", ".join(f"{count:,} {why}" for why, count in skipped.items() if count)
    return (f"questions left out: {reasons}",) if reasons else ()


# -- answers ------------------------------------------------------------------------------------


def normalise_answer(text: str) -> str:
    """An answer in the form in which answers are compared.

    Cleaned, in lower case, without a full stop or other sign at its end; English articles are left out and number
    words become digits, as in the evaluation of VQA. What would leave nothing is left as it is.

    >>> [normalise_answer(text) for text in ("The Red ball.", "two", "네!", "A")]
    ['red ball', '2', '네', 'a']

    Source: Antol et al. 2015, arXiv 1505.00468, 3.3. Differs: signs inside an answer and contractions stay.
    """
    plain = clean(text, lowercase=True)
    plain = plain.rstrip(".!?,;:\u3002 ") or plain
    words = [DIGITS.get(word, word) for word in plain.split() if word not in ARTICLES]
    return " ".join(words) or plain


def score_answers(answers: Sequence[str]) -> dict[str, float]:
    """How right each answer is that people gave: 1 where the others agree on it, less where few do.

    The mean over those who answered, each left out in turn, of min(1, others who said so / 3): with one answer it is
    1; with fewer than four, as many of the others must agree as there are.

    >>> score_answers(["red", "red", "red", "dark red"])
    {'red': 0.75, 'dark red': 0.25}
    >>> score_answers(["yes"])
    {'yes': 1.0}

    Source: Antol et al. 2015, arXiv 1505.00468, 3.3, as its evaluation computes it, for ten answers. Differs: the 3
        is the number of others where that is less.
    """
    people = len(answers)
    if people == 1:
        return {answers[0]: 1.0}
    enough = min(3, people - 1)
    scores = {}
    for answer, count in Counter(answers).items():
        left_out_own = count * min(1, (count - 1) / enough)
        left_out_other = (people - count) * min(1, count / enough)
        scores[answer] = (left_out_own + left_out_other) / people
    return scores


# -- reading ------------------------------------------------------------------------------------


def read_questions(paths: Sequence[Path], images: Path, *, lowercase: bool = True) -> QuestionSet:
    """Read questions and look for their images.

    Left out and counted: questions without words or without an answer, and those whose image is not there.

    Args:
        paths: as for `question_files.read_files`: CSV, TSV or JSONL files with columns image, question and answer, or
            the two JSON files of VQA.
        images: the folder of the images.
        lowercase: lower the case of the questions.
    Raises:
        JumokError: as `read_files`; no folder; an image named outside it; no question left.
    """
    files = tuple(map(Path, paths))
    check_image_folder(images)
    rows, skipped = _keep_usable(read_files(files), lowercase)
    places = find_images({row.image for row in rows}, images)
    missing = sorted(name for name, path in places.items() if path is None and name)
    here = [row for row in rows if places[row.image] is not None]
    skipped["no image"] = len(rows) - len(here)
    if not here:
        raise JumokError(_explain_nothing(files, images, skipped, missing))
    names = dict.fromkeys(row.image for row in here)
    number = {name: index for index, name in enumerate(names)}
    return QuestionSet(
        images=tuple(path for name in names if (path := places[name]) is not None),
        of=tuple(number[row.image] for row in here),
        questions=tuple(row.question for row in here),
        answers=tuple(row.answers for row in here),
        kinds=tuple(row.kind for row in here),
        masks=tuple(row.mask for row in here),
        files=files,
        skipped={why: count for why, count in skipped.items() if count},
        notes=(*_note_missing(missing, images), *_note_answers(here)),
        names=tuple(name_within(name, images) for name in names),
    )


def _keep_usable(rows: Iterator[QuestionRow], lowercase: bool) -> tuple[list[QuestionRow], Counter[str]]:
    """The rows with a question and an answer, in their normal forms; and how many had none."""
    kept: list[QuestionRow] = []
    skipped: Counter[str] = Counter()
    for row in rows:
        question = clean(row.question, lowercase=lowercase)
        answers = tuple(form for answer in row.answers if (form := normalise_answer(answer)))
        if not question or not answers:
            skipped["no answer" if question else "no question"] += 1
            continue
        kept.append(row._replace(question=question, answers=answers))
        if len(kept) > MOST_QUESTIONS:
            raise JumokError(f"more than {MOST_QUESTIONS:,} questions: give a part of them")
    return kept, skipped


def _explain_nothing(files: Sequence[Path], images: Path, skipped: Mapping[str, int], missing: Sequence[str]) -> str:
    reasons = ", ".join(f"{count:,} {why}" for why, count in skipped.items() if count) or "it is empty"
    hint = _find_other_place(files, images, missing[0]) if missing else ""
    return f"no question with an answer and an image in {' and '.join(map(str, files))} ({reasons}){hint}"


def _find_other_place(files: Sequence[Path], images: Path, name: str) -> str:
    """Where the images are, if they lie in a folder around the table or the one that was given; else a question."""
    around = dict.fromkeys([*(each.parent for each in (images, *files)), *(each.parent.parent for each in files)])
    found = next((folder for folder in around if folder != images and find_image(name, folder) is not None), None)
    if found is not None:
        return f"; {_shorten(name)!r} lies in {found}: give that by --images"
    return f"; is {images} the folder that {_shorten(name)!r} lies in?"


def _note_missing(names: Sequence[str], images: Path) -> Iterator[str]:
    if names:
        more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
        yield f"not in {images}: {', '.join(map(_shorten, names[:MOST_NAMED]))}{more}"


def _note_answers(rows: Sequence[QuestionRow]) -> Iterator[str]:
    """Answers that contradict one another, and those that look like several."""
    given: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for row in rows:
        given.setdefault((row.image, row.question), set()).add(row.answers)
    if torn := [key for key, own in given.items() if len(own) > 1]:
        image, question = torn[0]
        yield later_count(
            len(torn),
            "{count} question is asked about one image several times with different answers ({example}): put these "
            "into one row, in a column answers with | between them, so that each counts as right",
            "{count} questions are asked about one image several times with different answers (such as {example}): put "
            "these into one row, in a column answers with | between them, so that each counts as right",
            example=f"{_shorten(image)}: {_shorten(question)}",
        )
    if barred := [answer for row in rows for answer in row.answers if BETWEEN in answer]:
        yield later_count(
            len(barred),
            "{count} answer has a | in it ({example}) and is taken for one: call the column answers if it is several",
            "{count} answers have a | in them (such as {example}) and are taken for one each: call the column "
            "answers if they are several",
            example=repr(_shorten(barred[0])),
        )


def _shorten(name: str) -> str:
    return name if len(name) <= LONGEST_NAMED else name[: LONGEST_NAMED - 3] + "..."


# -- splitting ----------------------------------------------------------------------------------


def split_questions(
    questions: QuestionSet,
    *,
    parts: Sequence[str],
    shares: Shares = QUESTION_SHARES,
    seed: int = 0,
    dealt_by: DealtBy = "name",
) -> dict[str, QuestionSet]:
    """Split questions by their images, so that no image is in two parts.

    Images are dealt by a hash of the seed and their name, so the outcome does not depend on the order of the file, nor
    on what the folder of the images is called.

    Args:
        questions: to split.
        parts: which of "val" and "test" are wanted; train always is.
        shares: of train, val and test, that sum to 1.
        seed: another seed, another split.
        dealt_by: "folder": as earlier versions did, by the folder of each image, too.
    Raises:
        JumokError: shares that are none, or too few images.
    """
    check_shares(shares, QUESTION_SHARES)
    total = len(questions.images)
    order = sorted(range(total), key=_make_hash_key(questions, seed, dealt_by))
    home: dict[int, str] = {}
    begin = 0
    for part, count in count_held_out(total, shares, parts).items():
        home |= dict.fromkeys(order[begin : begin + count], part)
        begin += count
    if begin >= total:
        few = write_count(total, "image is", "images are")
        raise JumokError(f"{few} too few to keep some for {' and '.join(parts)}: give files for these")
    numbers: dict[str, list[int]] = {part: [] for part in ("train", *parts)}
    for number, image in enumerate(questions.of):
        numbers[home.get(image, "train")].append(number)
    found = {part: replace(questions.select(kept), notes=(), skipped={}) for part, kept in numbers.items()}
    found["train"] = replace(found["train"], notes=questions.notes, skipped=questions.skipped)
    return found


def _make_hash_key(questions: QuestionSet, seed: int, dealt_by: DealtBy) -> Callable[[int], bytes]:
    def key(image: int) -> bytes:
        name = questions.known_as(image, dealt_by)
        return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()

    return key
