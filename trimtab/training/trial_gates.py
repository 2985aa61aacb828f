"""The gates of a pipeline's trial, beside the Model's own: is its model of the champion's rows as good, as soon made, and as fast?

All three ask whether something is certainly worse, because nothing but the pipeline differs: the rows, the judged rows, the seed and the
Model are the champion's, so that an equal pipeline makes an equal model, and one of another seed differs by a fraction of the margin.
A time is only too long where it is also longer by what a machine may vary by itself. `docs/pipelines-trial.md` has how often they err.
"""

from trimtab.spec import Gate, Task, Trial
from trimtab.training.evaluation.found import Evaluation
from trimtab.training.gate import Asked, GateResult, held
from trimtab.units import margin

QUALITY: dict[Task, str] = {"regression": "x1.01", "binary": "-0.01", "multiclass": "x1.01"}
"""How much worse the primary metric may be where the policy does not say: rmse and log loss by 1%, ROC AUC by 0.01."""

SLOWER = 60.0
"""By how many seconds a run may be longer than the champion's in any case: a pod's image may have to be pulled."""
SLOWER_PREDICTION = 5.0
"""By how many milliseconds predicting the rows of the measurement may take longer in any case."""


def judge_trial(trial: Trial, found: Evaluation) -> tuple[GateResult, ...]:
    """Hold the evaluation of a trial against its three gates."""
    return _quality(trial, found), _training_time(trial, found), _prediction_time(trial, found)


def _quality(trial: Trial, found: Evaluation) -> GateResult:
    """Not certainly worse than the champion by more than the margin, paired on the same rows."""
    if found.unasked or found.champion is None:
        said = found.unasked or "no row of the holdout is one that it may be held to"
        return GateResult("quality", False, None, None, sentence=f"the champion could not be compared: {said}")
    gate = Gate(found.primary, not_worse_than="champion", margin=trial.quality or QUALITY[found.task])
    result = held(Asked(gate, doubted=True), found)
    if result is None:
        return GateResult("quality", False, None, None, sentence="there is no champion to compare with")
    return GateResult("quality", result.passed, result.value, result.bound, result.interval, result.sentence)


def _training_time(trial: Trial, found: Evaluation) -> GateResult:
    """From the run's begin until it is judged, beside the champion's run."""
    if found.seconds is None or found.champion_seconds is None:
        return GateResult("training_time", True, found.seconds, None, sentence="how long the champion's run took is not known")
    bound = max(margin(trial.training_time).bound(found.champion_seconds), found.champion_seconds + SLOWER)
    sentence = f"the run took {found.seconds:.1f} s, the champion's {found.champion_seconds:.1f} s; allowed is at most {bound:.1f} s"
    return GateResult("training_time", found.seconds <= bound, round(found.seconds, 1), round(bound, 1), sentence=sentence)


def _prediction_time(trial: Trial, found: Evaluation) -> GateResult:
    if found.timed is None:
        return GateResult("prediction_time", True, None, None, sentence="there are no rows to predict")
    mine, theirs = found.timed.candidate, found.timed.champion
    bound = max(margin(trial.prediction_time).bound(theirs), theirs + SLOWER_PREDICTION)
    sentence = f"{found.timed.rows} rows at once take {mine:.2f} ms, with the champion {theirs:.2f} ms; allowed is at most {bound:.2f} ms"
    return GateResult("prediction_time", mine <= bound, round(mine, 2), round(bound, 2), sentence=sentence)
