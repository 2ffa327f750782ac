"""From the layers of a model to its input: one method per file, a function of the file's name.

A method is a function of what was `Seen`, a target and options, and gives an `AttentionMap`. It stands in `METHODS`
with what may be expected of it; `Seen.relevance` finds it there.
"""

from jumok.attribution.method import Method, Need

__all__ = ["METHODS", "Method", "Need"]

_ATTENTION, _FEATURES = frozenset({Need.ATTENTION}), frozenset({Need.FEATURES, Need.GRADIENTS})
_BOTH, _GRADIENTS = frozenset({Need.ATTENTION, Need.GRADIENTS}), frozenset({Need.GRADIENTS})
_PASSES, _NOTHING = frozenset({Need.PASSES}), frozenset[Need]()

METHODS = {
    method.name: method
    for method in (
        Method("chefer", "Chefer, Gur & Wolf 2021", _BOTH),
        Method("rollout", "Abnar & Zuidema 2020", _ATTENTION, of_target=False),
        Method("raw", "the weights as they are", _ATTENTION, of_target=False),
        Method("value-weighted", "Kobayashi et al. 2020", _BOTH, of_target=False),
        Method("legrad", "Bousselham et al. 2025", _BOTH),
        Method("grad-cam", "Selvaraju et al. 2017", _FEATURES),
        Method("libra", "Mehri et al. 2025", _GRADIENTS, signed=True, conserves=True),
        Method("lrp", "Achtibat et al. 2024", _GRADIENTS, signed=True, conserves=True),
        Method("input-x-gradient", "Shrikumar et al. 2017", _GRADIENTS, signed=True),
        Method("integrated-gradients", "Sundararajan et al. 2017", _PASSES, signed=True, conserves=True),
        Method("occlusion", "Zeiler & Fergus 2014", _PASSES, signed=True),
        Method("rise", "Petsiuk et al. 2018", _PASSES, signed=True),
        Method("random", "no model at all", _NOTHING, of_target=False),
    )
}
"""The methods by name, those that fit a model of attention first."""
