"""JoeyNMT's models on our id batches: built from sizes, trained step by step, decoded to a given length.

What runs is JoeyNMT's own: its models, its `Batch` with its sorting, its loss and optimiser as its trainer calls them,
its `search`. Only texts are left out. It calls 0 what we call 1 and the other way round (`<unk>`, `<pad>`); `_swapped`
puts that right before a batch is made.

Where its recurrent model is not ours: the decoder is fed the attention vector tanh(W [g_i; c_i]) of the step before
("input feeding") instead of this step's context, attends with the new state, and its first state is a projection of
the encoder's last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import Tensor

from jumok.special_tokens import EOS, PAD, SOS, UNK

JOEY_UNK, JOEY_PAD = PAD, UNK

Step = Callable[[Tensor, Tensor], float]
"""One training step on (source, target) ids; gives the loss per token."""


@dataclass(frozen=True)
class Recurrent:
    """Sizes of the recurrent model with additive attention.

    Args:
        embedding: of a word, on both sides.
        hidden: of the decoder's state.
        memory: of the encoder's states, both directions together.
        cell: lstm or gru.
        layers: of encoder and decoder each.
        dropout: on embeddings, between layers and before the attention vector.
    """

    embedding: int = 256
    hidden: int = 512
    memory: int = 512
    cell: Literal["lstm", "gru"] = "lstm"
    layers: int = 1
    dropout: float = 0.3

    def config(self) -> dict[str, Any]:
        """The `model` part of JoeyNMT's configuration."""
        embeddings = {"embedding_dim": self.embedding, "dropout": self.dropout}
        both = {"type": "recurrent", "rnn_type": self.cell, "num_layers": self.layers, "dropout": self.dropout}
        encoder = {**both, "embeddings": embeddings, "hidden_size": self.memory // 2, "bidirectional": True}
        attending = {"attention": "bahdanau", "init_hidden": "bridge", "hidden_dropout": self.dropout}
        decoder = {**both, **attending, "embeddings": embeddings, "hidden_size": self.hidden}
        return {"encoder": encoder, "decoder": decoder}


@dataclass(frozen=True)
class Transformer:
    """Sizes of the Transformer, pre-norm.

    Args:
        width: of each token.
        layers: of encoder and decoder each.
        heads: per attention.
        feed_forward: hidden size of the MLP.
        dropout: wherever the model has it, attention weights included.
        tied: the output's weights are the target's embeddings.
    """

    width: int = 256
    layers: int = 3
    heads: int = 4
    feed_forward: int = 1024
    dropout: float = 0.1
    tied: bool = True

    def config(self) -> dict[str, Any]:
        """The `model` part of JoeyNMT's configuration."""
        side = {
            "type": "transformer",
            "num_layers": self.layers,
            "num_heads": self.heads,
            "hidden_size": self.width,
            "ff_size": self.feed_forward,
            "dropout": self.dropout,
            "layer_norm": "pre",
            "embeddings": {"embedding_dim": self.width, "scale": True, "dropout": self.dropout},
        }
        return {"encoder": side, "decoder": side, "tied_softmax": self.tied}


def build(sizes: Recurrent | Transformer, source_vocabulary: int, target_vocabulary: int) -> Any:
    """JoeyNMT's model, initialised as JoeyNMT does; vocabulary sizes count the four symbols."""
    from joeynmt.model import build_model

    _quiet()
    return build_model(sizes.config(), _vocabulary(source_vocabulary), _vocabulary(target_vocabulary))


def keep_attention_whole(model: Any) -> None:
    """Drop no attention weight in training, whatever else is dropped; JoeyNMT has no option for it."""
    from joeynmt.transformer_layers import MultiHeadedAttention

    for module in model.modules():
        if isinstance(module, MultiHeadedAttention):
            module.dropout.p = 0.0


def trainer(model: Any, *, learning_rate: float = 1e-3, label_smoothing: float = 0.1, clip: float = 1.0) -> Step:
    """Train as JoeyNMT's training loop does on a CPU: sorted batch, loss per token, Adam, gradients clipped by norm."""
    from joeynmt.builders import build_gradient_clipper, build_optimizer

    _quiet()
    model.loss_function = ("crossentropy", label_smoothing)
    optimiser = build_optimizer({"optimizer": "adam", "learning_rate": learning_rate}, model.parameters())
    clip_gradients = build_gradient_clipper({"clip_grad_norm": clip, "clip_grad_val": None})

    def step(source: Tensor, target: Tensor) -> float:
        model.train()
        made = batch(source, target)
        made.sort_by_src_length()
        loss, *_ = model(return_type="loss", **vars(made))
        loss = made.normalize(loss, "tokens")
        loss.backward()
        clip_gradients(parameters=model.parameters())
        optimiser.step()
        model.zero_grad()
        return float(loss.item())

    return step


def decode(model: Any, source: Tensor, *, length: int, beam: int = 1) -> Tensor:
    """Decode to exactly `length` tokens per sentence, greedily or with a beam.

    Args:
        model: as `build` gives it.
        source: (sentences, tokens) of our ids.
        length: the end sign is forbidden before it and comes not after it.
        beam: 1 is greedy.
    Returns:
        (sentences, length) of our ids, in the order of the sentences.
    """
    from joeynmt.search import search

    model.eval()
    made = batch(source, None)
    back = made.sort_by_src_length()
    ids, _, _ = search(
        model=model,
        batch=made,
        max_output_length=length,
        min_output_length=length,
        beam_size=beam,
        beam_alpha=1.0,
    )
    return _swapped(torch.from_numpy(ids)[back])


def batch(source: Tensor, target: Tensor | None) -> Any:
    """JoeyNMT's `Batch` of our ids: source with EOS, target with SOS and EOS, both padded at the right."""
    from joeynmt.batch import Batch

    return Batch(
        src=_swapped(source),
        src_length=(source != PAD).sum(1),
        src_prompt_mask=None,
        trg=None if target is None else _swapped(target),
        trg_prompt_mask=None,
        indices=torch.arange(len(source)),
        device=source.device,
        pad_index=JOEY_PAD,
        eos_index=EOS,
        is_train=target is not None,
    )


def _swapped(ids: Tensor) -> Tensor:
    """Our ids to JoeyNMT's or back: PAD and UNK change places."""
    return torch.where(ids == PAD, UNK, torch.where(ids == UNK, PAD, ids))


def _vocabulary(size: int) -> Any:
    from joeynmt.vocabulary import Vocabulary

    symbols = SimpleNamespace(
        unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>", sep_token=None,
        unk_id=JOEY_UNK, pad_id=JOEY_PAD, bos_id=SOS, eos_id=EOS, lang_tags=[],
    )  # fmt: skip
    return Vocabulary([f"w{number}" for number in range(4, size)], symbols)


def _quiet() -> None:
    """Its loggers print each model and optimiser."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("joeynmt"):
            logging.getLogger(name).setLevel(logging.WARNING)
