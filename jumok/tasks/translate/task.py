"""The record of the task: sentences, and their translations."""

from jumok.data.pairs.recognition import looks_like_pairs
from jumok.tasks.task import Task

TRANSLATE = Task(
    name="translate",
    title="Sentence pairs",
    does="translate sentences",
    word="pairs",
    example="a TSV or two line-aligned files",
    systems=(
        "seq2seq",
        "transformer",
    ),
    recognises=looks_like_pairs,
    many=True,
    verbs=("evaluate", "predict", "export", "measure", "trust"),
)
