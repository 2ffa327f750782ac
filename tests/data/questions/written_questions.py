"""Tables of questions for tests."""

from jumok.data.questions.question_set import (
    QuestionSet,
)

HEAD = "image,question,answer\n"


def write_images(folder):
    """A folder of images; only their names are looked at here."""
    for name in ("a.png", "b.png", "deep/a.png", "COCO_val2014_000000000012.jpg"):
        write(folder / "images" / name, "")
    return folder / "images"


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def many(count, each=3):
    """Questions about so many images."""
    from pathlib import Path

    total = count * each
    return QuestionSet(
        tuple(Path(f"images/{number}.png") for number in range(count)),
        tuple(number // each for number in range(total)),
        tuple(f"what is {number}?" for number in range(total)),
        tuple((str(number),) for number in range(total)),
        ("",) * total,
        ("",) * total,
    )
