"""The gates, a sentence for each case."""

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from trimtab.drawing.page import markdown, to_html
from trimtab.errors import InvalidInput
from trimtab.explanation import Attribution, Explanation
from trimtab.release import RejectedOutcome
from trimtab.spec import Data, Gate, ModelSpec, Training
from trimtab.training.evaluation.bootstrap import Difference
from trimtab.training.evaluation.fairness import Fairness
from trimtab.training.evaluation.found import Evaluation, Slice
from trimtab.training.evaluation.measured import Measured
from trimtab.training.evaluation.robustness import Robustness
from trimtab.training.evaluation.slices import Harm
from trimtab.training.evaluation.spurious import Suspicion
from trimtab.training.gate import check_gates, judge, rejection
from trimtab.training.report import report


def apart(value: float, half: float) -> Difference:
    """A difference whose 95% bounds are `half` away, one-sided 0.8 of it."""
    return Difference(value, (value - half, value + half), value - 0.8 * half, value + 0.8 * half)


def regression(value: float, champion: float | None = None, half: float = 0.0, **more: Any) -> Evaluation:
    """An rmse of `value` beside a champion's, their difference known to `half`; no features give 100."""
    against: dict[str, Any] = {}
    if champion is not None:
        against = {
            "champion": {"rmse": champion, "mae": champion / 2},
            "difference": {"rmse": apart(value - champion, half), "mae": apart((value - champion) / 2, half / 2)},
            "compared_with": "7",
            "compared_on": "served",
            "compared_rows": 150,
        }
    given = {
        "holdout_rows": 200,
        "candidate": {"rmse": value, "mae": value / 2},
        "baseline": {"rmse": 100.0, "mae": 80.0},
        "interval": {"rmse": (value - 5, value + 5)},
        "skill": apart(value - 100, 3),
    }
    return Evaluation("regression", "rmse", 1000, **(given | against | more))


def binary(value: float, champion: float | None = None, half: float = 0.0, **more: Any) -> Evaluation:
    """The same for the ROC AUC."""
    against: dict[str, Any] = {}
    if champion is not None:
        against = {
            "champion": {"roc_auc": champion},
            "difference": {"roc_auc": apart(value - champion, half)},
            "compared_with": "7",
            "compared_on": "twin",
            "compared_rows": 150,
        }
    given = {
        "holdout_rows": 200,
        "candidate": {"roc_auc": value, "log_loss": 0.5},
        "baseline": {"roc_auc": 0.5, "log_loss": 0.6},
        "skill": apart(value - 0.5, 0.03),
    }
    return Evaluation("binary", "roc_auc", 1000, **(given | against | more))


def part(name: str, column: str, value: float, champion: float | None = None, half: float = 0.0) -> Slice:
    """A slice with that rmse."""
    if champion is None:
        return Slice(name, Measured(60, {"rmse": value}), column)
    measured = Measured(60, {"rmse": value}, {}, {"rmse": champion}, {"rmse": apart(value - champion, half)}, 60)
    return Slice(name, measured, column)


EXPLANATION = Explanation("tree_shap", 500, (Attribution("plan", 0.7, (0.6, 0.8)), Attribution("age", 0.3, (0.2, 0.4))))
SUSPECT = (Suspicion("id", "identifier", 0.2, "'id' is an identifier"),)
SLICES = (part("region = west", "region", 70, 50, 2), part("region = east", "region", 40, 40, 2), part("colour = red", "colour", 90))
FAIR = (Fairness("age_band", (), {"disparate_impact": 0.7}), Fairness("sex", (), {"disparate_impact": 0.9}))
WORN = Robustness(500, {"plan": 3.0, "age": 1.1}, noise=3.2, missing=9.9)
PASSED = None
CASES: list[Any] = [
    # enough rows, and better than nothing
    pytest.param((), regression(50), PASSED, id="no champion, better than no features: passes"),
    pytest.param((), regression(100), ("rmse better than a model without features", 100, 100), id="as good as no features: stopped"),
    pytest.param((), regression(98), ("rmse better than a model without features", 98, 100), id="perhaps better than no features: stopped"),
    pytest.param((), binary(0.51), ("roc_auc better than a model without features", 0.51, 0.5), id="perhaps better than chance: stopped"),
    pytest.param((), binary(0.54), PASSED, id="certainly better than chance"),
    pytest.param((), regression(50, holdout_rows=9), ("holdout_rows >= 10", 9, 10), id="too few rows"),
    pytest.param((), regression(50, 50, compared_rows=9), ("compared_rows >= 10", 9, 10), id="too few rows to compare on"),
    pytest.param(
        (), regression(50, champion=None, compared_with="7"), ("compared_rows >= 10", 0, 10), id="a champion that nothing is known of"
    ),
    pytest.param((), regression(50, compared_with="7", unasked="it needs 'x'"), PASSED, id="a champion that cannot be asked"),
    # not worse than the champion: the bound of the difference counts
    pytest.param((), regression(51, 50, 1), PASSED, id="2% worse and known to 2%: at most 3.6% worse passes"),
    pytest.param(
        (),
        regression(51, 50, 3),
        ("rmse not worse than the champion's, margin x1.05", 51, 52.5),
        id="the same, known less well, is stopped: it may be 6.8% worse",
    ),
    pytest.param((), regression(55, 50, 1), ("rmse not worse than the champion's, margin x1.05", 55, 52.5), id="10% worse is stopped"),
    pytest.param((), regression(40, 50, 10), PASSED, id="much better need not be known well"),
    pytest.param((), binary(0.795, 0.8, 0.03), PASSED, id="0.005 of ROC AUC lost, at most 0.029"),
    pytest.param(
        (), binary(0.795, 0.8, 0.06), ("roc_auc not worse than the champion's, margin -0.05", 0.795, 0.75), id="or 0.053: stopped"
    ),
    pytest.param(
        (),
        binary(0.77, 0.8, 0.01),
        ("roc_auc not certainly worse than the champion's, margin -0.02", 0.77, 0.78),
        id="certainly 0.022 lost",
    ),
    pytest.param(
        (), regression(51.5, 50, 0.5), ("rmse not certainly worse than the champion's, margin x1.02", 51.5, 51), id="certainly 2.2% worse"
    ),
    pytest.param(
        (Gate("roc_auc", not_worse_than="champion", margin="-0.05"),),
        binary(0.77, 0.8, 0.01),
        PASSED,
        id="a declared margin is the only one",
    ),
    pytest.param((), regression(50, 50), PASSED, id="the same model passes"),
    pytest.param((Gate("rmse", not_worse_than="champion"),), regression(50, 50), PASSED, id="the same model passes without a margin"),
    pytest.param((Gate("rmse", not_worse_than="champion"),), regression(50), PASSED, id="no champion to be worse than"),
    pytest.param(
        (Gate("mae", not_worse_than="champion", margin="x0.9"),),
        regression(50, 50),
        ("mae not worse than the champion's, margin x0.9", 25, 22.5),
        id="a margin below one asks for an improvement",
    ),
    # bounds
    pytest.param((Gate("rmse", max=40.0),), regression(41), ("rmse <= 40", 41, 40), id="over a fixed bound"),
    pytest.param((Gate("rmse", max=40.0),), regression(40, 10), PASSED, id="gates of the document replace that against the champion"),
    pytest.param((Gate("roc_auc", min=0.9),), binary(0.89), ("roc_auc >= 0.9", 0.89, 0.9), id="under a floor"),
    pytest.param((Gate("rmse", max=60.0), Gate("mae", max=10.0)), regression(50), ("mae <= 10", 25, 10), id="the first that fails is told"),
    pytest.param((Gate("mape", max=1.0),), regression(50), ("mape <= 1", None, None), id="what could not be measured does not pass"),
    # slices
    pytest.param(
        (Gate("rmse", slice="region", max=60.0),), regression(50, slices=SLICES), ("rmse by region <= 60", 70, 60), id="the worst"
    ),
    pytest.param((Gate("rmse", slice="region", max=75.0),), regression(50, slices=SLICES), PASSED, id="other columns do not count"),
    pytest.param((Gate("rmse", slice="size", max=75.0),), regression(50, slices=SLICES), ("rmse by size <= 75", None, None), id="none"),
    pytest.param(
        (Gate("rmse", slice="region", not_worse_than="champion", margin="x1.1"),),
        regression(50, 50, slices=SLICES),
        ("rmse by region not worse than the champion's, margin x1.1", 70, 55),
        id="worse than the champion on one value",
    ),
    # features
    pytest.param(
        (Gate("attribution_share", feature="plan", max=0.6),),
        regression(50, explanation=EXPLANATION),
        ("attribution_share of plan <= 0.6", 0.7, 0.6),
        id="rests too much on a feature",
    ),
    pytest.param((Gate("attribution_share", feature="age", max=0.6),), regression(50, explanation=EXPLANATION), PASSED, id="on another"),
    pytest.param(
        (Gate("attribution_share", max=0.6),),
        regression(50, explanation=EXPLANATION),
        ("attribution_share <= 0.6", 0.7, 0.6),
        id="on any feature",
    ),
    pytest.param(
        (Gate("shuffled_loss", feature="plan", max=2.0),),
        regression(50, robustness=WORN),
        ("shuffled_loss of plan <= 2", 3, 2),
        id="hurts too much when shuffled",
    ),
    pytest.param(
        (Gate("shuffled_loss", min=1.05),), regression(30, robustness=WORN), PASSED, id="every feature must matter: the least is told"
    ),
    # fairness
    pytest.param(
        (Gate("disparate_impact", min=0.8),), binary(0.8, fairness=FAIR), ("disparate_impact >= 0.8", 0.7, 0.8), id="unfair to an attribute"
    ),
    pytest.param((Gate("disparate_impact", slice="sex", min=0.8),), binary(0.8, fairness=FAIR), PASSED, id="fair to another"),
    # what is asked by default: only what is certainly broken
    pytest.param((), regression(50, explanation=EXPLANATION, suspicions=SUSPECT), ("spurious_share <= 0", 0.2, 0), id="an identifier"),
    pytest.param(
        (Gate("rmse", max=60.0),),
        regression(50, explanation=EXPLANATION, suspicions=SUSPECT),
        ("spurious_share <= 0", 0.2, 0),
        id="is asked beside declared gates",
    ),
    pytest.param(
        (Gate("spurious_share", max=0.3),),
        regression(50, explanation=EXPLANATION, suspicions=SUSPECT),
        PASSED,
        id="unless one of them is of the same metric",
    ),
    pytest.param((), regression(50, robustness=WORN), ("noise_loss <= 3", 3.2, 3), id="noise more than triples the loss"),
    pytest.param((), regression(30, robustness=WORN), PASSED, id="which is still less than without features"),
    pytest.param(
        (Gate("missing_loss", max=3.0),),
        regression(30, robustness=msgspec.structs.replace(WORN, missing=None)),
        ("missing_loss <= 3", None, None),
        id="holes that it cannot have",
    ),
    pytest.param(
        (),
        regression(50, 50, harm=Harm("region = west", 80, 1.6, 1.3)),
        ("slice_loss <= 1.25", 1.3, 1.25),
        id="worse on a part of the rows",
    ),
    pytest.param((), regression(50, 50, harm=Harm("region = west", 80, 1.6, 1.2)), PASSED, id="perhaps worse on a part of the rows"),
    pytest.param(
        (),
        binary(0.8, candidate={"roc_auc": 0.8, "calibration_slope": 0.3}, interval={"calibration_slope": (0.2, 0.38)}),
        ("calibration_slope >= 0.4", 0.3, 0.4),
        id="certainly too sure",
    ),
    pytest.param(
        (),
        binary(0.8, candidate={"roc_auc": 0.8, "calibration_slope": 0.3}, interval={"calibration_slope": (0.1, 0.5)}),
        PASSED,
        id="perhaps too sure",
    ),
    pytest.param(
        (Gate("calibration_slope", min=0.4),),
        binary(0.8, candidate={"roc_auc": 0.8, "calibration_slope": 0.3}, interval={"calibration_slope": (0.1, 0.5)}),
        ("calibration_slope >= 0.4", 0.3, 0.4),
        id="a declared gate takes the number itself",
    ),
]


@pytest.mark.parametrize(("gates", "found", "expected"), CASES)
def test_judge(gates: tuple[Gate, ...], found: Evaluation, expected: tuple[str, float, float] | None) -> None:
    results = judge(gates, found)
    outcome = rejection(results)
    if expected is None:
        assert outcome is None
    else:
        assert isinstance(outcome, RejectedOutcome)
        assert (outcome.gate, outcome.value) == expected[:2]
        assert outcome.bound == (None if expected[2] is None else pytest.approx(expected[2]))
    assert all(result.sentence for result in results)


SENTENCES = [
    (
        regression(50, 50, 1),
        1,
        "rmse is 50, that of version 7 as it serves 50 on the same 150 rows; with 95% certainty it is at most 50.8, ",
    ),
    (
        binary(0.8, 0.79, 0.01),
        1,
        "roc_auc is 0.8, that of version 7 before its refit 0.79 on the same 150 rows; with 95% certainty it is at ",
    ),
    (regression(50), 0, "rmse is 50, that of a model without features 100; the difference is -50 (95%: -53 to -47) and must be certain"),
    (
        regression(50, explanation=EXPLANATION, suspicions=SUSPECT),
        1,
        "spurious_share ('id' is an identifier) is 0.2; allowed is at most 0",
    ),
]


@pytest.mark.parametrize(("found", "place", "sentence"), SENTENCES)
def test_a_gate_says_value_bound_interval_and_why(found: Evaluation, place: int, sentence: str) -> None:
    assert judge((), found)[place].sentence.startswith(sentence)


def test_the_interval_goes_with_the_rejection() -> None:
    outcome = rejection(judge((), regression(60, 50, 2)))
    assert outcome is not None
    assert outcome.interval == (58, 62)


COLUMNS = [
    (
        Training(slices=("region", "land")),
        (),
        "spec.training.slices[1]: there is no column of numbers or texts 'land' in the data; allowed are ",
    ),
    (Training(sensitive=("sex",)), (), "spec.training.sensitive[0]: there is no column of numbers or texts 'sex' in the data"),
    (Training(), (Gate("rmse", slice="at", max=1.0),), "spec.gates[0].slice: there is no column of numbers or texts 'at' in the data"),
    (
        Training(),
        (Gate("attribution_share", feature="y", max=1.0),),
        "spec.gates[0].feature: there is no feature 'y' in the data; allowed are 'region'",
    ),
]


@pytest.mark.parametrize(("training", "gates", "sentence"), COLUMNS)
def test_a_column_that_is_not_there_is_told_before_anything_is_trained(training: Training, gates: tuple[Gate, ...], sentence: str) -> None:
    table = pa.table({"region": ["a"], "y": [1.0], "at": pa.array([0], pa.timestamp("s"))})
    given = ModelSpec("regression", Data("x", "y"), training=training, gates=gates)
    with pytest.raises(InvalidInput) as refused:
        check_gates(given, table)
    assert str(refused.value).startswith(sentence)


def test_columns_that_are_there_are_fine() -> None:
    table = pa.table({"region": ["a"], "y": [1.0]})
    given = ModelSpec("regression", Data("x", "y"), training=Training(slices=("region", "y"), sensitive=("region",)))
    check_gates(given, table)


def test_the_page_shows_every_gate_metric_slice_and_feature_and_escapes_what_is_from_data() -> None:
    named = (part("region = <b>|west", "region", 70, 50, 2), *SLICES)
    found = regression(
        60, 50, 1, slices=named, explanation=EXPLANATION, robustness=WORN, suspicions=SUSPECT, harm=Harm("x = 1", 80, 1.6, 1.2)
    )
    page = report(found, judge((), found))
    text, html = markdown(page), to_html(page)
    assert "**stopped by 4 of 6 gates: rmse not worse than the champion's, margin x1.05**" in text
    assert "| rmse | 60 | 55 to 65 | 50 | +10 (+9 to +11) | 100 |" in text
    assert "region = &lt;b&gt;\\|west" in text
    assert "region = &lt;b&gt;|west" in html
    assert "<b>" not in html
    for shown in ("plan", "age", "'id' is an identifier", "x = 1", "colour = red", "loss x9.9", "**NO**"):
        assert shown in text
    assert html.count("<svg") == 1
    assert "//" not in html.replace("http://www.w3.org/2000/svg", "")


def test_a_page_of_nothing_is_a_page(tmp_path: Path) -> None:
    found = Evaluation("binary", "roc_auc", 40, 0, {}, {})
    (tmp_path / "page.html").write_text(to_html(report(found, judge((), found))))
    assert "stopped by 1 of 1 gates: holdout\\_rows &gt;= 10" in markdown(report(found, judge((), found)))
