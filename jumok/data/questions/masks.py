"""Masks of what questions are about, by the names that the file of questions gives them."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from jumok.data.images.masks import read_mask
from jumok.data.questions.question_set import QuestionSet
from jumok.errors import JumokError
from jumok.files import inside

__all__ = ["QuestionMasks"]


class QuestionMasks:
    """The masks of a set of questions: their column `mask`, below a folder. Where it is empty, there is none.

    Args:
        root: the folder of masks.
        questions: whose masks they are.
    Raises:
        JumokError: no such folder, no question with a mask, or a mask that is not there or lies outside the folder.
    """

    def __init__(self, root: str | os.PathLike[str], questions: QuestionSet) -> None:
        self.root, self._questions = Path(root), questions
        if not self.root.is_dir():
            raise JumokError(f"no folder of masks at {self.root}")
        self.marked = tuple(number for number, name in enumerate(questions.masks) if name)
        """The questions that have one."""
        if not self.marked:
            raise JumokError(f"none of {len(questions):,} questions names a mask: give a file with the column 'mask'")
        for number in self.marked:
            self._find(number)

    def get(self, number: int, height: int, width: int) -> Tensor | None:
        """Read the mask of a question.

        Args:
            number: of the question in its set.
            height, width: of its image, in pixels.
        Returns:
            (height, width) bool, or None where there is nothing to look at.
        Raises:
            JumokError: as `read_mask`, or a mask of another size than the image.
        """
        if not self._questions.masks[number]:
            return None
        path = self._find(number)
        mask = read_mask(path)
        if mask.shape != (height, width):
            rows, columns = mask.shape
            raise JumokError(
                f"the mask {path} is {columns} x {rows} pixels, its image {self._questions.image_of(number)} is "
                f"{width} x {height}: wanted the same size"
            )
        return mask

    def _find(self, number: int) -> Path:
        path = inside(self.root, self._questions.masks[number])
        if not path.is_file():
            raise JumokError(f"no mask at {path}, which the question {self._questions.questions[number]!r} names")
        return path
