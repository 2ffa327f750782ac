"""Multi30k German to English: `python -m reproduce multi30k --data DIR [--only lstm transformer no-attention]`.

DIR holds train, val and test_2016_flickr with the endings de and en, plain or gzipped (Elliott et al. 2016, arXiv
1605.00459, task 1). Wall time on one core of a 4-core AMD EPYC: about an hour for each model.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from jumok.errors import JumokError
from reproduce.rows import Row
from reproduce.translators import Recipe, rows

TITLE = "Multi30k de -> en, test_2016_flickr"
ABOUT = (
    "Detokenised text, lower case on both sides, sub-words (BPE, 5,000); sacreBLEU with its own 13a tokenisation, "
    "beam 5. The published figures are of re-implementations on tokenised lower-case text: near to this, not equal."
)
SOURCE = (
    "re-implementations on Multi30k: 28.1 to 33.5 with an attending RNN, 36.5 with a Transformer, 13.8 to 20.6 without"
)
PAIRS = "--languages de --languages en --lowercase --vocabulary bpe --vocabulary-size 5000 --precision bf16"
RECURRENT = (
    "--batch-tokens 1200 --lr 0.0025 --warmup 0.05 --option dropout=0.4 --option hidden=512 --option embedding=256 "
    "--option tied=true"
)
RECIPES = {
    "lstm": Recipe(
        "LSTM seq2seq, additive attention",
        f"--system seq2seq {PAIRS} --epochs 14 {RECURRENT}",
        goals=(("BLEU", ">= 33.5"),),
        published=(("BLEU", 33.5),),
        source=SOURCE,
    ),
    "transformer": Recipe(
        "Transformer",
        f"--system transformer {PAIRS} --shared --epochs 18 --batch-tokens 1600 --lr 0.0012 --option width=256 "
        "--option layers=3 --option heads=4 --option dropout=0.3",
        goals=(("BLEU", ">= 38"),),
        published=(("BLEU", 36.5),),
        source=SOURCE,
    ),
    "no-attention": Recipe(
        "LSTM seq2seq, no attention",
        f"--system seq2seq {PAIRS} --epochs 8 {RECURRENT} --option score=none",
        published=(("BLEU", 20.6),),
        source=SOURCE,
    ),
}
QUICK = {"only": ["lstm"]}


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/multi30k"), help="where the runs go (default: %(default)s)"
    )
    parser.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES), help="models")


def run(options: Namespace) -> Iterator[Row]:
    folder: Path = options.data
    if not folder.is_dir():
        raise JumokError(f"no folder {folder}: give the data set's with --data")
    for name in options.only:
        recipe = RECIPES[name]
        if options.quick:
            recipe = Recipe(f"{recipe.model}, one epoch", f"{recipe.train} --epochs 1")
        yield from rows("test_2016_flickr", recipe, [folder], options.runs / name, options.threads, options.seed)
