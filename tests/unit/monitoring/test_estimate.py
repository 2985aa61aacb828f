import numpy as np
import pytest

from trimtab.monitoring.calibration import knots, lines, meaning
from trimtab.monitoring.columns import Floats
from trimtab.monitoring.estimate import Estimate, Inputs, State, estimate, states
from trimtab.monitoring.metric import as_error, error, roc_auc
from trimtab.monitoring.performance import Judgement, Sample
from trimtab.monitoring.resampling import areas, counts, grouped
from trimtab.monitoring.shift import weights
from trimtab.schema import Feature

OUTSIDE, INSIDE = Judgement("rmse", 2.0, 1.8, 2.2, 1.0, 1.1, 100), Judgement("rmse", 1.0, 0.9, 1.1, 1.0, 1.1, 100)
TOLD = Estimate("rmse", 100, 1.0, 0.8, 1.2)
THIN = Estimate("rmse", 100, 1.0, 0.8, 1.2, insufficient="few positives")
FEW = Estimate("rmse", 100, insufficient="too few")


def clicks(generator: np.random.Generator, rows: int, *, centre: float = -2.0, slope: float = 1.0, spread: float = 1.5) -> Sample:
    """Scores whose log odds mean `slope` times what they say."""
    said = generator.normal(centre, spread, rows)
    truth = generator.random(rows) < 1 / (1 + np.exp(-slope * said))
    return Sample(truth.astype(float), 1 / (1 + np.exp(-said)))


def of_clicks(window: Sample, holdout: Sample, validation: float | None = None) -> Estimate:
    return estimate("roc_auc", "binary", window.answers, holdout, len(holdout.truth), validation, "uid|1|0")


@pytest.mark.parametrize(
    ("centre", "slope", "spread"),
    [
        pytest.param(-2.0, 1.0, 1.5, id="as in the hold-out"),
        pytest.param(-1.0, 1.0, 0.8, id="the inputs moved: scores are higher and closer together"),
        pytest.param(-2.0, 0.6, 1.5, id="a model that is too sure, as its hold-out knows"),
    ],
)
def test_the_area_is_near_what_labels_say_while_only_inputs_move(
    generator: np.random.Generator, centre: float, slope: float, spread: float
) -> None:
    gaps, held = [], []
    for _ in range(12):
        holdout = clicks(generator, 4000, slope=slope)
        window = clicks(generator, 5000, centre=centre, slope=slope, spread=spread)
        told, realised = of_clicks(window, holdout), roc_auc(window.truth, window.answers)
        assert told.value is not None
        assert told.low is not None
        assert told.high is not None
        gaps.append(told.value - realised)
        held.append(told.low <= realised <= told.high)
    assert np.mean(np.abs(gaps)) < 0.02
    assert sum(held) >= 10


def test_what_is_expected_is_the_number_of_positives(generator: np.random.Generator) -> None:
    window = clicks(generator, 20_000, centre=-3.0)
    told = of_clicks(window, clicks(generator, 8000))
    assert told.positives == pytest.approx(window.truth.sum(), rel=0.15)
    assert told.insufficient == ""


@pytest.mark.parametrize(
    ("rows", "known", "why"),
    [
        pytest.param(1000, 8000, "500 are needed", id="fewer than 500 positives in the window"),
        pytest.param(20_000, 60, "fewer than 200 rows of one class", id="next to none in the hold-out"),
        pytest.param(20, 8000, "fewer than 30 answers", id="hardly any row"),
    ],
)
def test_too_few_is_no_estimate_to_rely_on(generator: np.random.Generator, rows: int, known: int, why: str) -> None:
    told = of_clicks(clicks(generator, rows), clicks(generator, known), validation=0.99)
    assert why in told.insufficient
    assert told.rose is False
    assert states([(told, None)]) == ["insufficient"]


def test_an_estimate_may_say_that_it_got_worse(generator: np.random.Generator) -> None:
    holdout = clicks(generator, 8000)
    validation = roc_auc(holdout.truth, holdout.answers)
    closer, same = (of_clicks(clicks(generator, 8000, spread=spread), holdout, validation) for spread in (0.3, 1.5))
    assert (closer.rose, same.rose) == (True, False)


def regressed(generator: np.random.Generator, rows: int, low: float = 0.0, high: float = 10.0) -> Sample:
    """An error that grows with the prediction."""
    answers = generator.uniform(low, high, rows)
    return Sample(answers + generator.normal(0, 0.2 + 0.3 * answers), answers)


@pytest.mark.parametrize(
    ("low", "high"), [pytest.param(0.0, 10.0, id="as in the hold-out"), pytest.param(6.0, 10.0, id="the large ones alone")]
)
def test_a_regressions_loss_is_that_of_similar_predictions(generator: np.random.Generator, low: float, high: float) -> None:
    held = []
    for _ in range(40):
        holdout, window = regressed(generator, 1500), regressed(generator, 400, low, high)
        told = estimate("rmse", "regression", window.answers, holdout, 1500, None, "uid|1|0")
        realised = error("rmse", "regression", window.truth, window.answers)
        assert told.value == pytest.approx(realised, rel=0.2)
        assert told.low is not None
        assert told.high is not None
        held.append(told.low <= realised <= told.high)
    assert sum(held) >= 35


def test_a_regressions_loss_follows_the_inputs_where_predictions_do_not_tell(generator: np.random.Generator) -> None:
    """Hot hours err three times as much as cold ones that are predicted alike, and the window has the hot ones alone."""
    feature = Feature("heat", "number")
    answers, heat = generator.uniform(0, 10, 3000), generator.random(3000)
    holdout = Sample(answers + generator.normal(0, 1, 3000) * np.where(heat > 0.5, 3.0, 1.0), answers)
    asked = generator.uniform(0, 10, 800)
    inputs = Inputs(weights([feature], {"heat": heat}, {"heat": generator.uniform(0.5, 1.0, 800)}), np.zeros(800, dtype=bool))
    told, blind = (estimate("rmse", "regression", asked, holdout, 3000, None, "uid|1|0", more) for more in (inputs, None))
    assert told.value == pytest.approx(3.0, rel=0.05)
    assert blind.value == pytest.approx(np.sqrt(5.0), rel=0.05)


def test_the_interval_holds_though_few_blocks_tell_and_few_rows_err_most(generator: np.random.Generator) -> None:
    def days(count: int) -> Sample:
        answers = np.tile(np.arange(24.0), count)
        return Sample(answers + generator.standard_t(5, count * 24), answers)

    held = []
    for number in range(200):
        holdout, window = days(18), days(5)
        told = estimate("rmse", "regression", window.answers, holdout, len(holdout.truth), None, f"{number}")
        assert told.low is not None
        assert told.high is not None
        held.append(told.low <= error("rmse", "regression", window.truth, window.answers) <= told.high)
    assert np.mean(held) >= 0.93


def test_many_classes_are_estimated_by_how_unsure_they_are(generator: np.random.Generator) -> None:
    def drawn(rows: int, sure: float) -> Sample:
        answers = generator.dirichlet(np.ones(3) / sure, rows)
        return Sample(np.array([generator.choice(3, p=one) for one in answers], dtype=float), answers)

    holdout, window = drawn(2000, 1.0), drawn(1000, 0.5)
    told = estimate("log_loss", "multiclass", window.answers, holdout, 2000, 0.1, "uid|1|0")
    assert told.value == pytest.approx(error("log_loss", "multiclass", window.truth, window.answers), rel=0.1)
    assert told.rose is True


def test_rows_without_an_answer_are_left_out_and_the_same_window_is_estimated_the_same(generator: np.random.Generator) -> None:
    holdout, window = clicks(generator, 4000), clicks(generator, 6000)
    gaps = Sample(window.truth, np.where(np.arange(6000) % 3 == 0, np.nan, window.answers))
    assert of_clicks(gaps, holdout).rows == 4000
    assert of_clicks(window, holdout) == of_clicks(window, holdout)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        pytest.param([(TOLD, None), (TOLD, None)], ["estimated", "estimated"], id="before any label"),
        pytest.param([(TOLD, INSIDE), (TOLD, None)], ["estimated", "estimated"], id="labels agree"),
        pytest.param([(TOLD, OUTSIDE), (TOLD, None)], ["unverified", "unverified"], id="labels contradict it and those after it"),
        pytest.param(
            [(TOLD, OUTSIDE), *[(TOLD, INSIDE)] * 4],
            ["unverified", "unverified", "unverified", "estimated", "estimated"],
            id="until the last three agree again",
        ),
        pytest.param([(FEW, OUTSIDE), (TOLD, None)], ["insufficient", "estimated"], id="what was no estimate is not contradicted"),
        pytest.param([(THIN, OUTSIDE), (THIN, INSIDE)], ["unverified"] * 2, id="few positives were expected, and labels contradict it"),
        pytest.param([(THIN, INSIDE)], ["insufficient"], id="few positives were expected"),
        pytest.param([(None, OUTSIDE)], ["insufficient"], id="nothing was told"),
    ],
)
def test_states(history: list[tuple[Estimate | None, Judgement | None]], expected: list[State]) -> None:
    assert states(history) == expected


def test_a_calibration_goes_on_beyond_what_it_saw(generator: np.random.Generator) -> None:
    known = clicks(generator, 20_000, slope=0.7)
    groups = grouped(known.answers)
    bends = knots(known.answers, known.truth)
    fitted = lines(groups.score, bends, groups.count()[None], groups.count(known.truth)[None])
    for odds, near in ((-3.0, 0.02), (0.0, 0.06), (9.0, 0.05)):
        found = meaning(fitted, bends, np.array([1 / (1 + np.exp(-odds))]))[0, 0]
        assert found == pytest.approx(1 / (1 + np.exp(-0.7 * odds)), abs=near)


def test_a_calibration_bends_where_no_score_tells_some_positives(generator: np.random.Generator) -> None:
    known = clicks(generator, 40_000, centre=-5.0)
    noisy = Sample(np.maximum(known.truth, generator.random(40_000) < 0.01).astype(float), known.answers)
    told = of_clicks(noisy, noisy)
    assert told.value == pytest.approx(roc_auc(noisy.truth, noisy.answers), abs=0.005)


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_where_no_line_is_what_scores_mean_the_holdouts_own_labels_put_it_right(generator: np.random.Generator, metric: str) -> None:
    """Scores that mean something in steps: the rows that the estimate learned from come out as their labels say."""
    said = np.round(generator.normal(0.0, 1.5, 20_000))
    truth = (generator.random(20_000) < np.where(np.abs(said) > 2, 0.5, 0.1 + 0.2 * (said % 2))).astype(float)
    known = Sample(truth, 1 / (1 + np.exp(-said)))
    told = estimate(metric, "binary", known.answers, known, 20_000, None, "uid|1|0")
    assert told.value == pytest.approx(as_error(metric, error(metric, "binary", known.truth, known.answers)), abs=1e-6)


@pytest.mark.parametrize("distinct", [5, 100_000])
def test_areas_of_groups_are_those_of_the_rows(generator: np.random.Generator, distinct: int) -> None:
    scores: Floats = generator.integers(0, distinct, 20_000).astype(float)
    truth = (generator.random(20_000) < scores / distinct).astype(float)
    groups = grouped(scores)
    positives = groups.count(truth)
    assert areas(positives[None], (groups.count() - positives)[None])[0] == pytest.approx(roc_auc(truth, scores), abs=1e-4)


def test_a_resample_has_as_many_rows_in_whole_blocks() -> None:
    found = next(counts(10, 4, np.array([[8, 0, 3]])))
    assert found.tolist() == [2.0, 2.0, 1.0, 2.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0]
