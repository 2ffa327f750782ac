"""How probable a given translation is, word by word."""

import pytest
import torch
from pair_helpers import settings_of, untrained, write_reversed

from jumok.special_tokens import EOS, PAD, SOS
from jumok.tasks.translate import forced
from jumok.tasks.translate.forced import read_word_probabilities


@pytest.mark.parametrize("system", ["seq2seq", "transformer"])
def test_a_word_is_as_probable_as_its_pieces_together(tmp_path, monkeypatch, system):
    data = write_reversed(tmp_path / "pairs", train=40)
    run = untrained(tmp_path / "run", settings_of(data, system=system, vocabulary="characters"))
    source, target = run.split_pair("bo ka", "ka bo")
    one = [*source.ids, EOS]
    both = torch.tensor([one, [*one[1:], PAD]])
    found = read_word_probabilities(run, both, target)
    for row, ids in enumerate((one, one[1:])):
        with torch.no_grad():
            logits = run.model(torch.tensor([ids]), torch.tensor([[SOS, *target.ids]]))
        wanted = [1.0, 1.0]
        for place, (token, word) in enumerate(zip(target.ids, target.owner, strict=True)):
            wanted[word] *= float(logits[0, place].softmax(-1)[token])
        assert found[row].tolist() == pytest.approx(wanted, rel=1e-4)
    monkeypatch.setattr(forced, "MOST_LOGITS", 1)
    torch.testing.assert_close(read_word_probabilities(run, both, target), found)
