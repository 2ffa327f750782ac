"""Every system as a graph whose batch, words and steps stay open; ONNX files are tested with the command."""

from types import SimpleNamespace

import pytest
import torch

from jumok import systems
from jumok.errors import JumokError
from jumok.tasks import TASKS
from jumok.tasks.exporting import Graph, make_program
from jumok.tasks.translate.decoding import search
from jumok.tasks.translate.export import make_graphs

SMALL = {
    "vit-nano": {"width": 16, "depth": 2, "heads": 2, "patch": 8},
    "vit-tiny": {"width": 16, "depth": 2, "heads": 2, "patch": 8, "pool": "mean", "registers": 2},
    "vit-small": {"width": 16, "depth": 2, "heads": 2, "patch": 8, "stem": "convolutions", "position": "sine"},
    "vit-base": {"width": 16, "depth": 1, "heads": 2, "patch": 8},
    **{name: {"width": 6, "blocks": [1, 1]} for name in ("resnet", "senet", "cbam", "eca", "non-local")},
}
TRANSLATORS = [
    ("transformer", {"width": 16, "layers": 2, "heads": 2}),
    ("transformer", {"width": 16, "layers": 1, "heads": 2, "position": "learned", "activation": "gelu"}),
    ("seq2seq", {"cell": "lstm", "score": "additive"}),
    ("seq2seq", {"cell": "gru", "score": "general", "layers": 2}),
    ("seq2seq", {"cell": "rnn", "score": "multi-head"}),
    ("seq2seq", {"cell": "lstm", "score": "none", "bidirectional": False}),
]


def build(name, **options):
    torch.manual_seed(0)
    return systems.build(name, systems.configure(name, **options)).eval()


@pytest.mark.parametrize("name", TASKS["classify"].systems)
def test_every_classifier_takes_any_batch(name):
    sized = {"image_size": 32} if "image_size" in systems.config_of(name).model_fields else {}
    model = build(name, classes=3, **sized, **SMALL.get(name, {}))
    graph = Graph("model", model, {"pixels": torch.zeros(2, 3, 32, 32)}, ("logits",), {"pixels": {0: "batch"}})
    program = make_program(graph).module()
    for batch in (1, 5):
        pixels = torch.randn(batch, 3, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(program(pixels), model(pixels), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "options"), TRANSLATORS, ids=lambda value: str(value))
def test_every_translator_writes_the_same_words_by_its_two_graphs(name, options):
    sizes = {} if name == "transformer" else {"embedding": 6, "hidden": 8}
    model = build(name, source_vocabulary=20, target_vocabulary=18, **sizes, **options)
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(3 if value.dim() > 1 else 1)  # wilder, so that it says this and that
    encoder, step = make_graphs(SimpleNamespace(model=model, longest=50))
    read, write = make_program(encoder).module(), make_program(step).module()
    for source in (
        torch.tensor([[5, 6, 7, 3, 0], [8, 9, 4, 5, 3], [7, 3, 0, 0, 0]]),
        torch.tensor([[9, 9, 5, 6, 7, 4, 3]]),
    ):
        wanted = [found[0].tokens for found in search(model, source, max_length=8)]
        assert decode(read, write, source, encoder, step) == wanted


def decode(read, write, source, encoder, step):
    """Greedy search by the graphs alone."""
    with torch.no_grad():
        state = dict(zip(encoder.outputs, read(source), strict=True))
        written, carried = torch.full((len(source), 1), 2), [name.removeprefix("next ") for name in step.outputs[1:]]
        for _ in range(8):
            found = write(written[:, -1:] if carried else written, *state.values())
            logits, after = (found[0], found[1:]) if isinstance(found, tuple) else (found, ())
            logits[:, [0, 2]] = -torch.inf
            state |= dict(zip(carried, after, strict=True))
            written = torch.cat([written, logits.argmax(-1, keepdim=True)], 1)
    return [row[: row.index(3)] if 3 in row else row for row in written[:, 1:].tolist()]


def test_what_cannot_be_traced_is_one_line():
    class Peeking(torch.nn.Module):
        def forward(self, pixels):
            return pixels if pixels.sum() > 0 else -pixels

    graph = Graph("model", Peeking(), {"pixels": torch.zeros(2, 3)}, ("logits",), {"pixels": {0: "batch"}})
    with pytest.raises(JumokError, match="model cannot be traced") as raised:
        make_program(graph)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["vit-nano", "vit-tiny", "vit-small"])
def test_the_map_beside_the_logits_is_the_rollout_that_watch_gives(name):
    import jumok
    from jumok.tasks.classify.rollout_graphs import WithRollout

    model = build(name, classes=3, image_size=(32, 48), **SMALL[name])
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.2 * torch.randn_like(value))
    pixels = torch.randn(3, 3, 32, 48)
    with torch.no_grad():
        logits, heat = WithRollout(model)(pixels)
        with jumok.watch(model) as seen:
            wanted = model(pixels)
    rollout = seen.rollout("cls" if model.cls_token is not None else "mean").weights[:, 0, -24:]
    torch.testing.assert_close(logits, wanted)
    torch.testing.assert_close(heat, rollout.unflatten(1, (4, 6)), atol=1e-6, rtol=1e-5)
