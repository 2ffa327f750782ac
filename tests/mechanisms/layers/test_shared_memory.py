"""Examples that share a memory: brought together and parted again, and attention that projects the memory once."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jumok.errors import JumokError
from jumok.mechanisms.layers.shared_memory import SharedMemory
from jumok.mechanisms.multi_head import MultiHead
from jumok.watching.watch import watch

OF = torch.tensor([2, 0, 2, 2, 3, 0])  # nobody looks at entry 1
ENTRIES = 4


# -- together -----------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(6, 9))
def test_what_is_brought_together_comes_back(of, entries):
    of = torch.tensor(of)
    together = SharedMemory(of, entries)
    examples = torch.randn(len(of), 2, 3)
    rows = together.gather(examples)
    most = max(torch.bincount(of).tolist())
    assert rows.shape == (entries, most, 2, 3)
    assert torch.equal(together.part(rows), examples)
    for entry in range(entries):
        mine = examples[of == entry]
        assert torch.equal(rows[entry, : len(mine)], mine)  # in the order in which they came
        assert not rows[entry, len(mine) :].any()


def test_gradients_come_back_too():
    together = SharedMemory(OF, ENTRIES)
    examples = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: together.part(together.gather(given).sin()), examples)


# -- attention to a memory that several look at --------------------------------------------------


def attention(**options):
    torch.manual_seed(0)
    return MultiHead(width=8, heads=2, **options).double()


def given_tensors():
    draw = torch.Generator().manual_seed(1)
    tokens, memory = (
        torch.randn(count, length, 8, generator=draw, dtype=torch.float64) for count, length in ((6, 3), (4, 5))
    )
    mask = torch.rand(6, 5, generator=draw) < 0.6
    mask[:, 0] = True
    return tokens, memory, mask


def with_gradients(module, tokens, memory, run):
    tokens, memory = tokens.clone().requires_grad_(), memory.clone().requires_grad_()
    module.zero_grad()
    output = run(tokens, memory)
    (output * torch.arange(output.numel(), dtype=output.dtype).reshape(output.shape).cos()).sum().backward()
    return output, [tokens.grad, memory.grad, *(value.grad.clone() for value in module.parameters())]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_a_shared_memory_is_the_same_as_a_copy_for_each(training, masked):
    module = attention().train(training)
    tokens, memory, mask = given_tensors()
    mask = mask if masked else None
    output, gradients = with_gradients(module, tokens, memory, lambda t, m: module(t, m, of=OF, mask=mask))
    wanted, others = with_gradients(module, tokens, memory, lambda t, m: module(t, m[OF], mask=mask))
    plain, _ = module.plain(tokens, memory[OF], mask=mask)
    torch.testing.assert_close(output, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(output, plain, rtol=1e-12, atol=1e-12)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_an_entry_that_nobody_looks_at_gets_no_gradient():
    module = attention().train()
    tokens, memory, _ = given_tensors()
    _, gradients = with_gradients(module, tokens, memory, lambda t, m: module(t, m, of=OF))
    assert not gradients[1][1].any()
    assert gradients[1][[0, 2, 3]].abs().sum((1, 2)).all()


def test_dropout_drops_weights_and_only_in_training():
    module = attention(dropout=0.5)
    tokens, memory, _ = given_tensors()
    torch.manual_seed(0)
    first, second = (module.train()(tokens, memory, of=OF) for _ in range(2))
    assert not torch.allclose(first, second)
    assert torch.equal(module.eval()(tokens, memory, of=OF), module(tokens, memory, of=OF))


def test_who_watches_sees_a_row_for_each_example():
    module = attention().eval()
    tokens, memory, _ = given_tensors()
    unwatched = module(tokens, memory, of=OF)
    with watch(module) as seen:
        output = module(tokens, memory, of=OF)
    assert torch.equal(output, unwatched)
    (name,) = seen.names
    torch.testing.assert_close(
        seen[name].weights, module.plain(tokens, memory[OF])[1].float().detach(), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokens": (6, 3, 7)}, r"tokens has shape \(6, 3, 7\), wanted"),
        ({"memory": (4, 5, 9)}, r"memory has shape \(4, 5, 9\), wanted"),
        ({"mask": (6, 4)}, r"mask has shape \(6, 4\), wanted"),
        ({"of": [0, 1]}, r"of is torch.int64 of shape \(2,\), wanted int64 of \(6,\)"),
        ({"of": [0.0] * 6}, r"of is torch.float32 of shape \(6,\), wanted int64 of \(6,\)"),
    ],
)
def test_what_does_not_fit_is_named(training, change, said):
    module = attention().train(training)
    tokens, memory, _ = given_tensors()
    given = {"tokens": tokens, "memory": memory, "of": OF}
    for name, value in change.items():
        made = {"mask": lambda size: torch.ones(size, dtype=torch.bool), "of": torch.tensor}
        given[name] = made.get(name, lambda size: torch.zeros(size, dtype=torch.float64))(value)
    with pytest.raises(JumokError, match=said):
        module(given.pop("tokens"), given.pop("memory"), **given)
