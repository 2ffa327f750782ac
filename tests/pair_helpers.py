"""Small files of sentence pairs, and a translator that learns to reverse them in seconds."""

from pathlib import Path

from jumok.data.pair_samples import write_reversal

SMALL = (
    "--system seq2seq --vocabulary words --device cpu --threads 1 --batch-tokens 600 --lr 0.01 --label-smoothing 0 "
    "--ema 0.9 --option embedding=24 --option hidden=48 --option dropout=0"
).split()
TRANSFORMER = (
    "--system transformer --vocabulary words --device cpu --threads 1 --batch-tokens 300 --lr 0.003 "
    "--label-smoothing 0 --ema 0.9 --option width=48 --option layers=2 --option heads=2 --option dropout=0"
).split()


def write_reversed(folder: Path, *, train: int = 1500, longest: int = 5) -> Path:
    """Sentences of 2 to `longest` words out of 12, and their reversal."""
    write_reversal(folder, seed=0, train=train, val=60, test=60, shortest=2, longest=longest, words=12)
    return folder
