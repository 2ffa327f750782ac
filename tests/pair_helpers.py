"""Small files of sentence pairs, and translators that learn to reverse them in seconds."""

import shlex
from pathlib import Path

from training_job import TrainingJob

from jumok.data.samples.toy_pairs import REVERSAL

SMALL = shlex.split(
    "--system seq2seq --vocabulary words --device cpu --threads 1 --batch-tokens 300 --lr 0.01 --label-smoothing 0 "
    "--ema 0.9 --option cell=gru --option embedding=24 --option hidden=48 --option dropout=0"
)
TRANSFORMER = shlex.split(
    "--system transformer --vocabulary words --device cpu --threads 1 --batch-tokens 300 --lr 0.003 "
    "--label-smoothing 0 --ema 0.9 --option width=48 --option layers=2 --option heads=2 --option dropout=0"
)
TINY = {
    "seq2seq": {"embedding": 6, "hidden": 8, "dropout": 0.3, "word_dropout": 0.1},
    "transformer": {"width": 8, "layers": 2, "heads": 2, "dropout": 0.3, "word_dropout": 0.0},
}


def write_reversed(folder: Path, *, train: int = 1500, longest: int = 5) -> Path:
    """Sentences of 2 to `longest` words out of 12, and their reversal."""
    REVERSAL.write(folder, seed=0, train=train, val=60, test=60, shortest=2, longest=longest, words=12)
    return folder


def settings_of(*pairs: Path, system: str = "seq2seq", options=None, training=None, **data):
    """Settings of a translator that is too small to learn much."""
    from jumok.tasks.translate.settings import PairData, PairTraining, Settings

    data = {"vocabulary": "words", "min_count": 1, **data}
    trained = {"epochs": 3, "batch_tokens": 200, "checkpoint_every": 1, "device": "cpu", **(training or {})}
    return Settings(
        system=system,
        options={**TINY[system], **(options or {})},
        data=PairData(pairs=tuple(map(str, pairs)), **data),
        training=PairTraining(**trained),
    )


def untrained(folder: Path, settings):
    """A run whose weights are those that the seed gave, made wilder so that it says this and that."""
    import torch

    from jumok.tasks.running.callbacks import write_weights
    from jumok.tasks.translate.prepare import prepare
    from jumok.tasks.translate.run import PairRun

    prepared = prepare(settings)
    prepared.write(folder)
    model = prepared.module().model
    with torch.no_grad():
        for value in model.parameters():
            if value.dim() > 1:
                value.mul_(3)
    write_weights(folder, model.state_dict(), {})
    return PairRun.load(folder)


class PairJob(TrainingJob):
    """A training run of a translator."""

    def prepare(self):
        from jumok.tasks.translate.prepare import prepare

        return prepare(self.settings)
