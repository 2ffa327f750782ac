"""English <-> Korean from a few thousand pairs: `python -m reproduce korean_english --data DIR [--only en-ko ko-en]`.

DIR holds tatoeba-en-ko.tsv and jhe-{dev,eval}.{ko,en} and news-{dev,test}.{ko,en} (Tatoeba, CC BY 2.0 FR; junior high
school sentences and news of jungyeul/korean-parallel-corpora, CC BY-SA 3.0). Wall time on one core of a 4-core AMD
EPYC: about 20 minutes for each direction.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from jumok.data.pairs.pair_set import read_pairs
from jumok.errors import JumokError
from jumok.files import write_atomically
from reproduce.rows import Row
from reproduce.translators import Recipe, examples, rows

TITLE = "English <-> Korean from 8,000 pairs of three kinds"
ABOUT = (
    "All pairs of Tatoeba, the school sentences and the news together, split by the seed into training, validation and "
    "test so that no sentence, English or Korean, is on both sides; case kept, sub-words (BPE, 2,000) shared by both "
    "languages. A Transformer of 3 layers and width 192 (20 epochs) learnt nothing: its likeliest output was a full "
    "stop. So few pairs teach short everyday sentences and little more: read the examples beside the figures."
)
FILES = ("jhe-dev", "jhe-eval", "news-dev", "news-test")
FLAGS = (
    "--system seq2seq --vocabulary bpe --vocabulary-size 2000 --shared --precision bf16 --epochs 30 --batch-tokens 900 "
    "--validate-with 100 --lr 0.002 --warmup 0.05 --val-fraction 0.06 --test-fraction 0.1 --option dropout=0.4 "
    "--option hidden=384 --option embedding=256 --option word_dropout=0.1 --option tied=true"
)
RECIPES = {
    "en-ko": Recipe("LSTM seq2seq, additive attention, English to Korean", FLAGS),
    "ko-en": Recipe("LSTM seq2seq, additive attention, Korean to English", f"{FLAGS} --backwards"),
}
QUICK = {"only": ["en-ko"]}


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder of the files")
    parser.add_argument("--runs", type=Path, default=Path("runs/korean-english"), help="of the runs (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES), help="directions")


def run(options: Namespace) -> Iterator[Row]:
    pairs = options.runs / "pairs.tsv"
    write_atomically(pairs, together(options.data))
    for name in options.only:
        recipe = RECIPES[name]
        if options.quick:
            recipe = Recipe(f"{recipe.model}, one epoch", f"{recipe.train} --epochs 1")
        folder = options.runs / name
        yield from rows(name, recipe, [pairs], folder, options.threads, options.seed)
        text = json.dumps(examples(folder), indent=2, ensure_ascii=False) + "\n"
        write_atomically(folder / "examples.json", text)


def together(folder: Path) -> str:
    """All pairs, English TAB Korean, each once.

    Raises:
        JumokError: a file is missing.
    """
    if not folder.is_dir():
        raise JumokError(f"no folder {folder}: give the data's with --data")
    found = [read_pairs([folder / "tatoeba-en-ko.tsv"])]
    found += [read_pairs([folder / f"{name}.en", folder / f"{name}.ko"]) for name in FILES]
    lines = [
        f"{source}\t{target}" for pairs in found for source, target in zip(pairs.sources, pairs.targets, strict=True)
    ]
    return "\n".join([*dict.fromkeys(lines), ""])
