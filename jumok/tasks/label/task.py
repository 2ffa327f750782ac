"""The record of the task: texts, and the class of each."""

from jumok.data.labelled.recognition import looks_like_labelled_texts
from jumok.tasks.task import Task

LABEL = Task(
    name="label",
    title="Texts",
    does="classify texts",
    word="texts",
    example="a table of text,label",
    systems=(),
    recognises=looks_like_labelled_texts,
    claims=looks_like_labelled_texts,
    told_by=("text_column", "label_column"),
    opens=("hf:",),
    verbs=("evaluate", "predict", "export", "measure"),
)
