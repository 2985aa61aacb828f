import numpy as np
import pytest

from trimtab.monitoring.deciding import level
from trimtab.monitoring.metric import allowed, as_error, error, losses, roc_auc
from trimtab.monitoring.performance import Judgement, Sample, judge, kind, replicates, sample
from trimtab.spec import Task
from trimtab.units import margin, persistence

RULE = persistence("2 of 3")


def rows(generator: np.random.Generator, count: int, noise: float) -> Sample:
    answers = generator.normal(0.0, 3.0, count)
    return Sample(answers + generator.normal(0.0, noise, count), answers)


def clicks(generator: np.random.Generator, count: int, signal: float) -> Sample:
    score = generator.normal(0.0, signal, count)
    probability = 1 / (1 + np.exp(-score))
    return Sample((generator.random(count) < probability).astype(float), probability)


@pytest.mark.parametrize(
    ("metric", "validation", "text", "bound"),
    [
        pytest.param("rmse", 50.0, "x1.1", 55.0, id="an error may be a tenth larger"),
        pytest.param("rmse", 50.0, "+2", 52.0, id="an error may be larger by two"),
        pytest.param("roc_auc", 0.8, "x1.1", 0.78, id="a shortfall from one may be a tenth larger"),
        pytest.param("roc_auc", 0.8, "x0.95", 0.76, id="an area may be a twentieth smaller"),
        pytest.param("roc_auc", 0.8, "-0.01", 0.79, id="an area may be smaller by a hundredth"),
        pytest.param("roc_auc", 0.8, "+0.01", 0.79, id="whatever the margin's sign"),
    ],
)
def test_margins(metric: str, validation: float, text: str, bound: float) -> None:
    assert as_error(metric, allowed(metric, as_error(metric, validation), margin(text))) == pytest.approx(bound)


@pytest.mark.parametrize(
    ("task", "truth", "answers", "expected"),
    [
        pytest.param("regression", [3.0], [5.0], [4.0], id="the squared error"),
        pytest.param("binary", [1.0, 0.0], [0.5, 0.75], [np.log(2), np.log(4)], id="the log loss of the class that was"),
        pytest.param("binary", [1.0], [0.0], [-np.log(1e-7)], id="a certain error is held at 1e-7"),
        pytest.param("multiclass", [2.0], [[0.25, 0.25, 0.5]], [np.log(2)], id="of many classes"),
    ],
)
def test_losses(task: Task, truth: list[float], answers: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(losses(task, np.array(truth), np.array(answers)), expected)


def test_roc_auc_counts_pairs_with_ties_half() -> None:
    truth, answers = np.array([0.0, 0, 1, 1]), np.array([0.1, 0.5, 0.5, 0.9])
    assert roc_auc(truth, answers) == pytest.approx(3.5 / 4)
    assert np.isnan(roc_auc(np.ones(3), answers[:3]))


def judged(window: Sample, holdout: Sample, metric: str = "rmse", task: Task = "regression", **changes: object) -> Judgement | None:
    validation = as_error(metric, error(metric, task, holdout.truth, holdout.answers))
    given = {"validation": validation, "holdout_rows": len(holdout.truth), "margin": margin("x1.1"), "floor": None, "level": level(14.0)}
    return judge(metric, task, window, holdout, identity="uid|1|0", **{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("noise", "rose", "past"),
    [
        pytest.param(1.0, False, False, id="the same error"),
        pytest.param(0.5, False, False, id="a smaller error"),
        pytest.param(1.2, True, False, id="an error larger by a fifth rose, but is not yet surely past the margin"),
        pytest.param(2.0, True, True, id="a doubled error is past it"),
    ],
)
def test_judge(generator: np.random.Generator, noise: float, rose: bool, past: bool) -> None:
    found = judged(rows(generator, 336, noise), rows(generator, 800, 1.0))
    assert found is not None
    assert (found.rose, found.past_margin, found.past_floor) == (rose, past, False)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(noise, rel=0.15)


def test_judge_of_an_area_under_the_curve_speaks_in_its_own_unit(generator: np.random.Generator) -> None:
    good = judged(clicks(generator, 2000, 2.0), clicks(generator, 2000, 2.0), "roc_auc", "binary")
    bad = judged(clicks(generator, 2000, 0.5), clicks(generator, 2000, 2.0), "roc_auc", "binary")
    assert good is not None
    assert bad is not None
    assert bad.validation is not None
    assert bad.bound is not None
    assert (good.rose, bad.rose, bad.past_margin) == (False, True, True)
    assert bad.low < bad.value < bad.high < bad.bound < bad.validation


def test_a_floor_is_judged_without_validation(generator: np.random.Generator) -> None:
    window, holdout = rows(generator, 336, 2.0), rows(generator, 800, 1.0)
    low, high = (judged(window, holdout, validation=None, floor=floor) for floor in (1.5, 2.5))
    assert low is not None
    assert high is not None
    assert (low.past_floor, low.past_margin, low.bound, high.past_floor) == (True, False, None, False)


def test_one_class_is_no_judgement(generator: np.random.Generator) -> None:
    holdout = clicks(generator, 500, 2.0)
    assert judged(Sample(np.zeros(100), generator.random(100)), holdout, "roc_auc", "binary") is None


def test_the_same_window_is_judged_the_same(generator: np.random.Generator) -> None:
    window, holdout = rows(generator, 336, 1.3), rows(generator, 800, 1.0)
    assert judged(window, holdout) == judged(window, holdout)


def test_neighbours_that_err_together_widen_the_interval(generator: np.random.Generator) -> None:
    alone = rows(generator, 480, 1.0)
    together = Sample(alone.answers + np.repeat(generator.normal(0.0, 1.0, 20), 24), alone.answers)
    spreads = [replicates("rmse", "regression", part, 24, np.random.default_rng(0)).std() for part in (alone, together)]
    assert spreads[1] > 2 * spreads[0]


def test_rows_without_label_or_prediction_are_left_out() -> None:
    found = sample(np.array([1.0, np.nan, 3.0]), np.array([1.0, 2.0, np.nan]))
    assert (found.truth.tolist(), found.answers.tolist()) == ([1.0], [1.0])


WORDS = {
    "ok": Judgement("rmse", 1.0, 0.9, 1.1, 1.0, 1.1, 100),
    "rose": Judgement("rmse", 1.2, 1.1, 1.3, 1.0, 1.1, 100, rose=True),
    "past": Judgement("rmse", 2.0, 1.8, 2.2, 1.0, 1.1, 100, rose=True, past_margin=True),
    "floor": Judgement("rmse", 2.0, 1.8, 2.2, None, None, 100, past_floor=True),
}


@pytest.mark.parametrize(
    ("words", "inputs_moved", "expected"),
    [
        pytest.param(["past"], False, None, id="once is not persistent"),
        pytest.param(["past", "past"], False, "performance", id="past the margin twice"),
        pytest.param(["past", "past"], True, "performance", id="also where the inputs moved"),
        pytest.param(["floor", "ok", "floor"], True, "performance", id="past the floor twice"),
        pytest.param(["rose", "rose"], False, "concept", id="rose twice at unchanged inputs"),
        pytest.param(["rose", "rose"], True, None, id="rose twice, but the inputs moved"),
        pytest.param(["rose", "past"], False, "concept", id="past once and rose twice: a concept finding"),
        pytest.param(["past", "past", "ok"], False, None, id="the newest is fine"),
    ],
)
def test_kind(words: list[str], inputs_moved: bool, expected: str | None) -> None:
    assert kind([WORDS[word] for word in words], RULE, inputs_moved=inputs_moved) == expected


def test_400_windows_at_the_validations_error_raise_nothing(generator: np.random.Generator) -> None:
    found = []
    for _ in range(20):
        holdout, history = rows(generator, 400, 1.0), []
        for _ in range(20):
            judgement = judged(rows(generator, 300, 1.0), holdout, level=level(1.0))
            assert judgement is not None
            history.append(judgement)
            found.append(kind(history, RULE, inputs_moved=False))
    assert found == [None] * 400
