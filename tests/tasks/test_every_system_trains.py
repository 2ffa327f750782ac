"""Every system trains, by the command line, in the precisions that a CPU is asked for."""

import shlex

import pytest
from app_helpers import write_coloured
from pair_helpers import write_reversed
from question_helpers import write_squares

from jumok import systems
from jumok.tasks import task_of_system

COMMON = shlex.split("--device cpu --threads 1 --epochs 1")
SMALLER = {  # than they are by themselves, so that each takes a second or two
    "vit-nano": {"width": 16, "depth": 2, "heads": 2},
    "vit-tiny": {"depth": 1},
    "vit-small": {"depth": 1},
    "vit-base": {"width": 96, "heads": 2, "depth": 1},
    **{name: {"width": 6, "blocks": "[1, 1]"} for name in ("resnet", "senet", "cbam", "eca")},
    "seq2seq": {"embedding": 16, "hidden": 16},
    "transformer": {"width": 16, "layers": 1, "heads": 2},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """What each task learns from."""
    folder = tmp_path_factory.mktemp("every-system")
    squares = write_squares(folder / "questions")
    return {
        "classify": [write_coloured(folder / "images")],
        "translate": [write_reversed(folder / "pairs", train=60), "--vocabulary", "words"],
        "answer": [squares, "--images", squares / "images"],
    }


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("name", systems.names())
def test_every_system_trains_on_this_processor(jumok, data, tmp_path, name, precision):
    options = [word for key, value in SMALLER.get(name, {}).items() for word in ("--option", f"{key}={value}")]
    words = [*data[task_of_system(name).name], "--system", name, "--precision", precision, *options, *COMMON]
    said = jumok("train", *words, "--out", tmp_path / "run")
    assert said.status == 0, said.err
    assert "Traceback" not in said.err
    assert (tmp_path / "run" / "weights.safetensors").stat().st_size > 0
