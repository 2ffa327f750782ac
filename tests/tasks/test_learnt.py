import pytest

from jumok.tasks.learnt import judge_learnt


@pytest.mark.parametrize(
    ("beaten", "unbeaten", "said"),
    [
        ([], [], ""),
        (["a"], [], "significantly better than a"),
        (["a", "b", "c"], [], "significantly better than a, b and c"),
        (["a"], ["b"], "not significantly better than b: it has learnt nothing that this does not give"),
        ([], ["a", "b"], "not significantly better than a and b: it has learnt nothing that these do not give"),
    ],
)
def test_a_model_that_a_baseline_equals_has_learnt_nothing(beaten, unbeaten, said):
    assert judge_learnt(beaten, unbeaten) == said
