"""The evaluation and its gates as a page: what a person reads before they believe a verdict."""

from trimtab.drawing.page import Page, Section
from trimtab.training.evaluation.bootstrap import Difference
from trimtab.training.evaluation.found import Evaluation, Slice
from trimtab.training.figures import bars_figure, calibration_figure, roc_figure
from trimtab.training.gate import GateResult

_SHOWN = 20
_COMPARED = {"": "", "served": "as it serves", "twin": "before its refit"}


def report(found: Evaluation, results: tuple[GateResult, ...]) -> Page:
    """The page of one evaluation."""
    failed = [result for result in results if not result.passed]
    verdict = f"all {len(results)} gates passed" if not failed else f"stopped by {len(failed)} of {len(results)} gates: {failed[0].gate}"
    made = (
        _gates(results),
        _metrics(found),
        _slices(found),
        _explanation(found),
        _reliability(found),
        _robustness(found),
        _fairness(found),
    )
    return Page("Evaluation of a candidate", verdict, not failed, tuple(section for section in made if section is not None))


def _gates(results: tuple[GateResult, ...]) -> Section:
    rows = tuple(
        (
            result.gate,
            "yes" if result.passed else "NO",
            _number(result.value),
            _number(result.bound),
            _interval(result.interval),
            result.sentence,
        )
        for result in results
    )
    return _section("Gates", (), ("gate", "passed", "value", "bound", "95%", "in words"), rows)


def _metrics(found: Evaluation) -> Section:
    kind = "each third of them by a model made before it" if found.rolling else "by a model made before all of them"
    sentences = [
        f"{found.holdout_rows} of {found.rows} rows are judged, the newest ones; predicted {kind}, never by one that was trained on them."
    ]
    if found.unasked:
        sentences.append(f"The champion was not compared: {found.unasked}.")
    elif found.compared_with:
        sentences.append(
            f"The champion is version {found.compared_with} {_COMPARED[found.compared_on]}, on the {found.compared_rows} rows that "
            "neither side was trained on; the difference is candidate less champion, row by row."
        )
    if found.threshold is not None:
        sentences.append(
            f"From a probability of {found.threshold:.4g} on a row is called positive: as many of the rows as of the training labels."
        )
    if found.task == "regression":
        sentences.append("mape is over the rows whose label is not zero.")
    rows = tuple(
        (
            name,
            _number(value),
            _interval(found.interval.get(name)),
            _number((found.champion or {}).get(name)),
            _difference(found.difference.get(name)),
            _number(found.baseline.get(name)),
        )
        for name, value in found.candidate.items()
    )
    return _section("Metrics", tuple(sentences), ("metric", "candidate", "95%", "champion", "difference (95%)", "no features"), rows)


def _slices(found: Evaluation) -> Section | None:
    if not found.candidate:
        return None
    loss = "rmse" if found.task == "regression" else "log_loss"
    sentences = [f"Declared slices with at least 50 rows, and the worst that were found among {found.searched_rows} rows."]
    if not found.worst:
        sentences.append("No slice was found that is predicted much worse than the other rows (effect from 0.3 on, p below 0.05 over all).")
    if found.harm is not None:
        sentences.append(
            f"Beside the champion the candidate is worst on {found.harm.slice} ({found.harm.rows} rows): its loss is "
            f"{found.harm.ratio:.3g} times the champion's, and with 95% certainty over all slices at least {found.harm.lower:.3g} times."
        )
    rows = tuple(_slice(one, loss) for one in (*found.slices, *found.worst))
    header = ("slice", "rows", loss, "95%", "champion", "difference (95%)", "roc_auc", "effect", "p", "rests on")
    return _section("Slices", tuple(sentences), header, rows)


def _slice(one: Slice, loss: str) -> tuple[str, ...]:
    part = one.measured
    return (
        one.name,
        str(part.rows),
        _number(part.metrics.get(loss)),
        _interval(part.interval.get(loss)),
        _number((part.champion or {}).get(loss)),
        _difference(part.difference.get(loss)),
        _number(part.metrics.get("roc_auc")),
        _number(one.effect),
        _number(one.p_value),
        ", ".join(f"{name} {share:.0%}" for name, share in one.attribution.items()),
    )


def _explanation(found: Evaluation) -> Section | None:
    known = found.explanation
    if known is None:
        return None
    sentences = [
        f"Shares of the mean absolute Shapley values ({known.method}) on {known.rows} rows, and how many times larger the loss is "
        "when a feature is shuffled."
    ]
    if found.agreement is not None:
        told = found.agreement
        sentences.append(
            f"LIME on {told.rows} rows ranks the features alike with a correlation of {told.rank_correlation:.2f}; of the three that "
            f"matter most to a row, both name {told.top_overlap:.0%}."
        )
    sentences += [f"Not to be trusted ({one.rule}): {one.sentence}." for one in found.suspicions]
    if not found.suspicions:
        sentences.append("No feature looks like an identifier, a clock, a leak, or a column that is encoded otherwise now.")
    shuffled = found.robustness.shuffled if found.robustness else {}
    rows = tuple(
        (one.feature, f"{one.share:.1%}", _interval(one.interval), _number(shuffled.get(one.feature))) for one in known.features[:_SHOWN]
    )
    figure = bars_figure([(one.feature, one.share, one.interval) for one in known.features[:_SHOWN]], "Share of the attribution")
    return Section("What it rests on", tuple(sentences), ("feature", "share", "95%", "loss when shuffled"), rows, (figure,))


def _reliability(found: Evaluation) -> Section | None:
    if not found.confusion:
        return None
    figures = [calibration_figure(found.calibration)] if found.calibration else []
    if found.roc is not None:
        figures.append(roc_figure(found.roc, found.candidate["roc_auc"]))
    header = ("truly", *(f"called {name}" for name in found.classes))
    rows = tuple((name, *map(str, counts)) for name, counts in zip(found.classes, found.confusion, strict=True))
    return Section("Calibration and confusion", (), header, rows, tuple(figures))


def _robustness(found: Evaluation) -> Section | None:
    known = found.robustness
    if known is None:
        return None
    noise, missing = ("the model raises on such rows" if one is None else f"loss x{one:.3g}" for one in (known.noise, known.missing))
    rows = (("noise of a tenth of its standard deviation on each number", noise), ("a tenth of all cells missing", missing))
    return Section("Robustness", (f"On {known.rows} rows.",), ("inputs", "what it does"), rows)


def _fairness(found: Evaluation) -> Section | None:
    if not found.fairness:
        return None
    sentences = tuple(
        f"{one.attribute}: "
        + (", ".join(_told(name, value, one.interval.get(name)) for name, value in one.metrics.items()) or "too few rows")
        for one in found.fairness
    )
    rate = "mean residual" if found.task == "regression" else "called positive"
    rows = tuple(
        (group.name, str(group.rows), _number(group.value), _number(group.found)) for one in found.fairness for group in one.groups
    )
    return _section("Fairness", sentences, ("group", "rows", rate, "of the truly positive"), rows)


def _section(title: str, sentences: tuple[str, ...], header: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> Section:
    """A section whose table has no column that is empty throughout."""
    kept = [place for place in range(len(header)) if any(row[place] for row in rows)]
    return Section(title, sentences, tuple(header[place] for place in kept), tuple(tuple(row[place] for place in kept) for row in rows))


def _told(name: str, value: float, interval: tuple[float, float] | None) -> str:
    return f"{name} {_number(value)}" + (f" (95%: {_interval(interval)})" if interval else "")


def _difference(one: Difference | None) -> str:
    return "" if one is None else f"{one.value:+.3g} ({one.interval[0]:+.3g} to {one.interval[1]:+.3g})"


def _interval(one: tuple[float, float] | None) -> str:
    return "" if one is None else f"{_number(one[0])} to {_number(one[1])}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
