"""The gates, a sentence for each case."""

from typing import Any

import msgspec
import pytest

from trimtab.errors import InvalidInput
from trimtab.release import RejectedOutcome
from trimtab.spec import Gate, Task
from trimtab.training.evaluate import Evaluation
from trimtab.training.gate import check_gates, judge, rejection, report


def regression(value: float, champion: float | None, **more: Any) -> Evaluation:
    rows = more.pop("holdout_rows", 200)
    given = {
        "candidate": {"rmse": value, "mae": value / 2},
        "champion": {"rmse": champion, "mae": champion / 2} if champion else None,
        **more,
    }
    return Evaluation(
        "regression", "rmse", 1000, rows, baseline={"rmse": 100.0, "mae": 80.0}, interval={"rmse": (value - 1, value + 1)}, **given
    )


def binary(value: float, champion: float | None) -> Evaluation:
    other = {"roc_auc": champion} if champion else None
    return Evaluation("binary", "roc_auc", 1000, 200, {"roc_auc": value}, {"roc_auc": 0.5}, other)


PASSED = None
CASES: list[Any] = [
    pytest.param((), regression(50, None), PASSED, id="no champion, better than no features: passes"),
    pytest.param((), regression(100, None), ("rmse better than a model without features", 100, 100), id="as good as no features: stopped"),
    pytest.param((), regression(51, 50), PASSED, id="by default 2% worse than the champion passes"),
    pytest.param(
        (), regression(51.1, 50), ("rmse not worse than the champion's, margin x1.02", 51.1, 51), id="more than 2% worse is stopped"
    ),
    pytest.param((), binary(0.795, 0.8), PASSED, id="by default 0.01 of ROC AUC may be lost"),
    pytest.param((), binary(0.78, 0.8), ("roc_auc not worse than the champion's, margin -0.01", 0.78, 0.79), id="0.02 of ROC AUC may not"),
    pytest.param((), binary(0.5, None), ("roc_auc better than a model without features", 0.5, 0.5), id="no better than chance"),
    pytest.param((Gate("rmse", max=40.0),), regression(41, None), ("rmse <= 40", 41, 40), id="over a fixed bound"),
    pytest.param((Gate("rmse", max=40.0),), regression(40, 10), PASSED, id="gates of the document replace the default one"),
    pytest.param((Gate("roc_auc", min=0.9),), binary(0.89, None), ("roc_auc >= 0.9", 0.89, 0.9), id="under a floor"),
    pytest.param(
        (Gate("mae", not_worse_than="champion", margin="x0.9"),),
        regression(50, 50),
        ("mae not worse than the champion's, margin x0.9", 25, 22.5),
        id="a margin below one asks for an improvement",
    ),
    pytest.param(
        (Gate("rmse", max=60.0), Gate("mae", max=10.0)), regression(50, None), ("mae <= 10", 25, 10), id="the first that fails is told"
    ),
    pytest.param((), regression(50, None, holdout_rows=9), ("holdout_rows >= 10", 9, 10), id="too few rows that nobody was trained on"),
]


@pytest.mark.parametrize(("gates", "found", "expected"), CASES)
def test_judge(gates: tuple[Gate, ...], found: Evaluation, expected: tuple[str, float, float] | None) -> None:
    outcome = rejection(judge(gates, found))
    if expected is None:
        assert outcome is None
    else:
        assert isinstance(outcome, RejectedOutcome)
        assert (outcome.gate, outcome.value) == expected[:2]
        assert outcome.bound == pytest.approx(expected[2])


def test_the_interval_goes_with_the_rejection() -> None:
    outcome = rejection(judge((), regression(60, 50)))
    assert outcome is not None
    assert outcome.interval == (59, 61)


@pytest.mark.parametrize(
    ("gate", "task", "sentence"),
    [
        pytest.param(
            Gate("roc_auc", min=0.7),
            "regression",
            r"gates\[0\]\.metric: found 'roc_auc'; allowed in a regression task are rmse, mae, r2",
            id="of another task",
        ),
        pytest.param(
            Gate("speed", min=1.0), "binary", r"found 'speed'; allowed in a binary task are roc_auc, log_loss, brier", id="of no task"
        ),
    ],
)
def test_a_metric_that_is_not_there(gate: Gate, task: Task, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        check_gates((gate,), task)


def test_the_report_shows_every_metric_and_gate() -> None:
    found = msgspec.structs.replace(regression(60, 50), compared_with="7")
    page = report(found, judge((), found))
    assert "against version 7" in page
    assert "| rmse | 60 | 59 to 61 | 50 | 100 |" in page
    assert "**no**" in page
