"""What the detector worker computes: one function a detector of Alibi Detect 0.11.4, each fitted anew to the reference it is given.

A side is {column: float64 without missing values}; an answer is {column: {"p", "statistic"}}, with `effect`, `alarm` or `joint` where a
detector says more. This file imports nothing of Trimtab, and nothing here loads or saves a detector (Alibi does both by dill).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from alibi_detect.cd import (
    ChiSquareDrift,
    ClassifierDrift,
    CVMDrift,
    CVMDriftOnline,
    FETDrift,
    FETDriftOnline,
    KSDrift,
    TabularDrift,
)
from scipy.stats import hypergeom
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

Side = dict[str, Any]
Answer = dict[str, dict[str, Any]]

SEED, REPEATS = 0, 2
MOST_CATEGORIES = 255
WINDOWS = (20, 100)
MOST_KEPT = 20


def tabular(reference: Side, window: Side, categories: set[str], _: dict[str, Any]) -> Answer:
    """Kolmogorov-Smirnov for numbers, chi-squared for categories."""

    def made(rows: Any, names: list[str]) -> Any:
        places = {place: None for place, name in enumerate(names) if name in categories}
        return TabularDrift(rows, categories_per_feature=places or None)

    return _by_column(reference, window, made)


def ks(reference: Side, window: Side, *_: Any) -> Answer:
    """Kolmogorov-Smirnov."""
    return _by_column(reference, window, lambda rows, _: KSDrift(rows))


def chi2(reference: Side, window: Side, *_: Any) -> Answer:
    """Chi-squared over the values."""
    return _by_column(reference, window, lambda rows, _: ChiSquareDrift(rows))


def cvm(reference: Side, window: Side, *_: Any) -> Answer:
    """Cramér-von Mises."""
    return _by_column(reference, window, lambda rows, _: CVMDrift(rows))


def fet(reference: Side, window: Side, *_: Any) -> Answer:
    """Fisher's exact test of columns of 0 and 1, for more and for fewer; the statistic is the odds ratio."""
    found = _by_column(reference, window, lambda rows, _: FETDrift(rows, alternative="two-sided"))
    for test in found.values():
        test["statistic"] = float(np.nan_to_num(test["statistic"], nan=1.0))
    return found


def _by_column(reference: Side, window: Side, made: Callable[[Any, list[str]], Any]) -> Answer:
    """A test a column, by detectors over columns of equal length together."""
    groups: dict[tuple[int, int], list[str]] = {}
    for name in reference:
        groups.setdefault((len(reference[name]), len(window[name])), []).append(name)
    found = {}
    for names in groups.values():
        detector = made(_matrix(reference, names), names)
        answer = detector.predict(_matrix(window, names), drift_type="feature")["data"]
        for name, p, statistic in zip(names, answer["p_val"], answer["distance"], strict=True):
            found[name] = {"p": float(p), "statistic": float(statistic)}
    return found


def classifier(reference: Side, window: Side, categories: set[str], _: dict[str, Any]) -> Answer:
    """Whether boosted trees that learned from half of the rows tell the window's from the reference's in the other: one p-value for all.

    Folds would use every row, but their rows are not independent: five gave p-values under 0.001 in 1% of 589 windows without drift.
    A column's statistic is how much worse the trees tell them apart, in AUC, when its values are shuffled. Its effect is |AUC - 0.5| in
    proportion to that: the column that made it drift has all of it.
    """
    names = list(reference)
    rows, others = _matrix(reference, names), _matrix(window, names)
    few = []
    for place, name in enumerate(names):
        if name in categories:
            values, codes = np.unique(np.concatenate([rows[:, place], others[:, place]]), return_inverse=True)
            rows[:, place], others[:, place] = codes[: len(rows)], codes[len(rows) :]
            few += [place] if len(values) <= MOST_CATEGORIES else []
    trees = HistGradientBoostingClassifier(max_iter=50, max_leaf_nodes=15, categorical_features=few or None, random_state=SEED)
    np.random.seed(SEED)
    detector = ClassifierDrift(rows, trees, backend="sklearn", train_size=0.5)
    answer = detector.predict(others)["data"]
    unseen = np.concatenate([answer["x_ref_oof"], answer["x_test_oof"]])
    truth = np.repeat([0, 1], [len(answer["x_ref_oof"]), len(answer["x_test_oof"])])
    area = roc_auc_score(truth, np.concatenate([answer["probs_ref"], answer["probs_test"]]))
    drops = _drops(answer["model"], unseen, truth)
    most = max(max(drops), 1e-12)
    effect = abs(float(area) - 0.5)
    return {
        name: {"p": float(answer["p_val"]), "statistic": drop, "effect": effect * max(0.0, drop) / most, "joint": True}
        for name, drop in zip(names, drops, strict=True)
    }


def _drops(model: Any, rows: Any, truth: Any) -> list[float]:
    """How much AUC the model loses on rows that it never saw when a column's values are shuffled among them."""
    whole = roc_auc_score(truth, model.predict_proba(rows)[:, 1])
    generator = np.random.default_rng(SEED)
    drops = []
    for place in range(rows.shape[1]):
        found = []
        for _ in range(REPEATS):
            shuffled = rows.copy()
            shuffled[:, place] = generator.permutation(shuffled[:, place])
            found.append(whole - roc_auc_score(truth, model.predict_proba(shuffled)[:, 1]))
        drops.append(float(np.mean(found)))
    return drops


class _Cvm(CVMDriftOnline):  # type: ignore[misc]
    """With thresholds that were simulated before, or that are simulated now; `ert` is each column's own."""

    fpr: float

    def __init__(self, rows: Any, ert: float, thresholds: list[list[float]] | None) -> None:
        self._known = thresholds
        super().__init__(rows, ert, list(WINDOWS), n_bootstraps=_streams(ert), verbose=False)

    def _configure_thresholds(self) -> None:
        if self._known:
            self.thresholds = np.array(self._known)
            return
        self.fpr = 1 - (1 - self.fpr) ** self.n_features
        super()._configure_thresholds()


class _Fet(FETDriftOnline):  # type: ignore[misc]
    """The same statistic from a table of its few values, where Alibi asks SciPy for each one; `ert` is each column's own."""

    fpr: float

    def _configure_thresholds(self) -> None:
        self.fpr = 1 - (1 - self.fpr) ** self.n_features
        super()._configure_thresholds()

    def _simulate_streams(self, x_ref: Any, _: Any) -> Any:
        share, ones = x_ref.mean(), x_ref.sum()
        stream = np.random.random((self.n_bootstraps, self.t_max)) < share
        sums = np.concatenate([np.zeros((self.n_bootstraps, 1), np.int64), np.cumsum(stream, axis=1)], axis=1)
        stats = np.full((self.n_bootstraps, self.t_max, len(self.window_sizes)), np.nan, dtype=np.float32)
        for place, size in enumerate(self.window_sizes):
            counts = np.arange(size + 1)
            if self.alternative == "greater":
                p_values = hypergeom.cdf(ones, self.n + size, ones + counts, self.n)
            else:
                p_values = hypergeom.cdf(counts, self.n + size, ones + counts, size)
            stats[:, size - 1 :, place] = self._exp_moving_avg((1 - p_values)[sums[:, size:] - sums[:, :-size]], self.lam)
        return stats


def _streams(ert: float) -> int:
    """How many streams are simulated for a threshold: the more the rarer an alarm is to be, as far as a request's time goes."""
    return int(min(max(10 * ert, 2_000), 10_000))


def cvm_online(reference: Side, window: Side, _: set[str], options: dict[str, Any]) -> Answer:
    """Cramér-von Mises over the last 20 and 100 rows at each row; an alarm a column once in `ert` rows without drift."""
    np.random.seed(SEED)
    names, key = list(reference), f"{len(next(iter(reference.values())))} rows, one in {options['ert']}"
    detector = _Cvm(_matrix(reference, names), options["ert"], options["kept"].get(key))
    options["kept"] = dict([*options["kept"].items(), (key, detector.thresholds.tolist())][-MOST_KEPT:])
    return _watched([detector], _matrix(window, names), names, options["ert"])


def fet_online(reference: Side, window: Side, _: set[str], options: dict[str, Any]) -> Answer:
    """Fisher's exact test over the last 20 and 100 rows at each row, for more and for fewer; an alarm a column once in `ert` rows."""
    np.random.seed(SEED)
    names, ert = list(reference), options["ert"]
    rows = _matrix(reference, names).astype(int)
    settings: dict[str, Any] = {"n_bootstraps": _streams(ert), "verbose": False}
    sides = [_Fet(rows, 2 * ert, list(WINDOWS), alternative=side, **settings) for side in ("greater", "less")]
    return _watched(sides, _matrix(window, names).astype(int), names, ert)


def _watched(detectors: list[Any], rows: Any, names: list[str], ert: float) -> Answer:
    """Show the detectors one row after another: which columns passed their threshold at any, and how far above it they came at most.

    An alarm's p-value is the chance that a stream without drift raises one in as many rows.
    """
    above = np.full(len(names), -np.inf)
    most = np.full(len(names), -np.inf)
    for row in rows:
        for detector in detectors:
            found = detector.predict(row)["data"]
            detector.xs, detector.test_stats, detector.drift_preds = detector.xs[-max(WINDOWS) :], detector.test_stats[-1:], np.array([])
            if detector.t >= min(WINDOWS):
                highest = np.nanmax(found["test_stat"], axis=0)
                most = np.maximum(most, highest)
                above = np.maximum(above, highest - found["threshold"])
    chance = -np.expm1(len(rows) * np.log1p(-1 / ert))
    return {
        name: {"p": float(chance) if alarm else 1.0, "statistic": float(np.nan_to_num(statistic)), "alarm": bool(alarm)}
        for name, alarm, statistic in zip(names, above > 0, most, strict=True)
    }


def _matrix(side: Side, names: list[str]) -> Any:
    return np.column_stack([side[name] for name in names])


DETECTORS: dict[str, Callable[[Side, Side, set[str], dict[str, Any]], Answer]] = {
    made.__name__: made for made in (tabular, ks, chi2, cvm, fet, classifier, cvm_online, fet_online)
}
