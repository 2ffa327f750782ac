"""The large figures of the demo's page: which of them stand out, and how they read."""

from jumok.app.demo.figures import show_alignment_error, show_faithfulness, show_pointing


def interval(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def strong(figures):
    return [figure.name for figure in figures if figure.strong]


def test_only_maps_that_no_baseline_reaches_stand_out():
    measured = {
        "methods": {
            "lrp": {"pointing": interval(0.7), "aer": interval(0.1)},
            "raw": {"pointing": interval(0.2), "aer": interval(0.6)},
        },
        "baselines": {
            "random": {"pointing": interval(0.1), "aer": interval(0.9)},
            "edges": {"pointing": interval(0.3), "aer": interval(0.5)},
        },
    }
    assert strong(show_pointing(measured)) == ["pointing game, lrp"]
    assert strong(show_alignment_error(measured)) == ["alignment error, lrp"]
    assert [figure.value for figure in show_pointing(measured)] == ["70.0%", "20.0%", "10.0%", "30.0%"]


def test_faithfulness_is_that_of_the_filling_for_which_it_is_lowest():
    def scores(mean, blur):
        return {"srg, mean": interval(mean), "srg, blur": interval(blur)}

    measured = {
        "fillings": ["mean", "blur"],
        "methods": {"libra": scores(0.5, 0.4), "raw": scores(0.2, 0.9)},
        "baselines": {"edges": scores(0.3, 0.35), "random": scores(0.0, -0.001)},
    }
    figures = show_faithfulness(measured)
    assert [figure.value for figure in figures] == ["0.40", "0.20", "0.30", "0.00"]
    assert strong(figures) == ["SRG, libra"]
