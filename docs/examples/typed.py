"""A user's own code as `mypy --strict` should accept it; `make check` sees to that."""

from pathlib import Path

import torch
from torch import nn

import jumok


def explain(model: nn.Module, pixels: torch.Tensor, photo: Path) -> list[tuple[str, float]]:
    with jumok.watch(model) as seen:
        logits = model(pixels)
    evidence = seen.relevance(logits[:, 0]).at(batch=0)
    evidence.draw(photo, "evidence.png", vmax=0.1, cmap="viridis")
    seen.rollout().at(batch=0).show(photo)
    jumok.draw(evidence, photo, Path("again.pdf"))
    jumok.AttentionMap(torch.eye(2), jumok.Tokens(("a", "b")), jumok.Tokens(("c", "d"))).draw("words.svg")
    return evidence.top(5)


def answer(folder: str) -> None:
    run: jumok.Run = jumok.load(folder)
    print(run.predict("photo.jpg").label)
    print(run.translate("Ein Hund rennt.").label)
    print(run.ask("photo.jpg", "What colour is the circle?").label)
