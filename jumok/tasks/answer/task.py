"""The record of the task: questions about images, and their answers."""

from jumok.data.questions.recognition import looks_like_questions
from jumok.tasks.task import Task

ANSWER = Task(
    name="answer",
    title="Questions",
    does="answer questions about images",
    word="questions",
    example="a file of questions with --images",
    systems=(
        "vqa-stacked",
        "vqa-transformer",
        "vqa-concat",
        "vqa-question",
        "vqa-image",
    ),
    recognises=looks_like_questions,
    told_by=("images",),
    many=True,
    verbs=("evaluate", "predict", "export", "measure", "compare", "trust"),
)
