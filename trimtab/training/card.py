"""The model card of a version (Mitchell et al., 2019): what it is for, what it was made from, how well it does and for whom, what it rests
on, what it must not be trusted with, and how it can be made again. Values in, a page out: equal values give equal pages.
"""

from datetime import datetime

from trimtab.drawing.page import Page, Section, markdown
from trimtab.training.card_facts import Card, notes, parts
from trimtab.training.evaluation.fairness import Fairness
from trimtab.training.limits import limits
from trimtab.units import duration

CARD_MARKDOWN, CARD_HTML = "card.md", "card.html"
TOP_FEATURES = 15
LONGEST_ANNOTATION = 500
_NOT_FOR_PEOPLE = ("kubernetes.io", "k8s.io", "trimtab.dev")
_PREDICTS = {
    "regression": "predicts the number",
    "binary": "predicts the probability of one of two classes of",
    "multiclass": "predicts the probability of each class of",
}


def card_page(card: Card) -> Page:
    """The whole card."""
    made = (
        *_head(card),
        _metrics(card),
        _gates(card),
        *_parts(card),
        _explanations(card),
        Section("Limits", limits(card)),
        _lineage(card),
        _again(card),
    )
    return Page(_title(card), _verdict(card), _passed(card), tuple(section for section in made if section is not None))


def head(card: Card) -> str:
    """The card's beginning as Markdown: the description of the version and of its run in MLflow, whose lists show its first words."""
    rest = Section("The whole card", (f"It is {CARD_HTML}, among the artifacts of the run and the files of the version.",))
    _, verdict, sections = markdown(Page(_title(card), _verdict(card), _passed(card), (*_head(card), rest))).split("\n\n", 2)
    return f"{verdict.strip('*')}\n\n{sections}"


def _title(card: Card) -> str:
    return f"Model card: {card.lineage.model}"


def _passed(card: Card) -> bool:
    return all(gate.passed for gate in card.gates)


def _verdict(card: Card) -> str:
    """The primary metric, beside champion and constant, and how many gates were passed."""
    found, name = card.evaluation, card.evaluation.primary
    interval = f" (95%: {between(found.interval[name])})" if name in found.interval else ""
    which = f"the {found.holdout_rows:,} {'newest' if card.lineage.made.data.time else 'held-out'} rows"
    before = "before it was fitted on them too" if card.fitted and card.fitted.refit else "which it was not fitted on"
    text = f"{name} is {number(found.candidate.get(name))}{interval} on {which}, {before}"
    if found.champion is not None:
        where = f"on {found.compared_rows:,} of them" if found.compared_rows else "there"
        text += f"; version {found.compared_with}, the champion, has {number(found.champion.get(name))} {where}"
    failed = sum(not gate.passed for gate in card.gates)
    gates = _count(len(card.gates), "gate")
    held = f"It failed {failed} of {gates}" if failed else f"It passed {gates}"
    return f"{text}; a model without features has {number(found.baseline.get(name))}. {held}."


def _head(card: Card) -> tuple[Section, Section]:
    return _purpose(card), _data(card)


def _purpose(card: Card) -> Section:
    lineage, schema = card.lineage, card.schema
    classes = f" ({', '.join(schema.classes)})" if schema.classes else ""
    which = f" What it says is the probability of the second class, {schema.classes[1]}." if len(schema.classes) == 2 else ""
    what = f"The model {lineage.model} of namespace {lineage.namespace} {_PREDICTS[schema.task]} {schema.label}{classes}"
    numbers = sum(feature.kind == "number" for feature in schema.features)
    kinds = f"{_count(numbers, 'number')}, {_count(len(schema.features) - numbers, 'category', 'categories')}"
    said = tuple(
        f"{name}: {value[:LONGEST_ANNOTATION]}"
        for name, value in sorted(card.annotations.items())
        if not any(word in name for word in _NOT_FOR_PEOPLE)
    )
    return Section("What it is for", (f"{what} from {_count(len(schema.features), 'feature')} ({kinds}).{which}", *said))


def _data(card: Card) -> Section:
    data, spec = card.lineage.data, card.lineage.made.data
    rows = [("read from", spec.uri), ("rows", f"{data.rows:,}"), ("SHA-256", data.digest), ("cut", card.lineage.cut)]
    if data.first is not None:
        rows.append(("window", f"{moment(data.first)} to {moment(data.last)} (UTC, by {spec.time})"))
    if spec.history:
        rows.append(("history", f"{spec.history} back from the cut"))
    if duration(spec.label_delay):
        rows.append(("label delay", f"{spec.label_delay}: a younger row's label was not known, so it was not learned from"))
    if spec.exclude:
        rows.append(("never features", ", ".join(spec.exclude)))
    asked = f"Release {card.lineage.release}, asked for by {card.lineage.trigger}" if card.lineage.trigger else "a run started by hand"
    return Section("Data", (f"Made for {asked}.",), ("what", "which"), tuple(rows))


def _metrics(card: Card) -> Section:
    found, champion = card.evaluation, card.evaluation.champion
    beside = ["champion", *(["difference, 95%"] if found.difference else [])] if champion else []
    apart, rows = {name: one.interval for name, one in found.difference.items()}, []
    for name, value in found.candidate.items():
        others = [number(champion.get(name)), between(apart.get(name))][: len(beside)] if champion else []
        rows.append((name, number(value), between(found.interval.get(name)), *others, number(found.baseline.get(name))))
    text = f"On {found.holdout_rows:,} of {found.rows:,} rows{', the newest' if card.lineage.made.data.time else ''}."
    if champion:
        which = {"twin": "its twin, which was not fitted on them", "served": "as it serves"}.get(found.compared_on, "on the same rows")
        on = f"{found.compared_rows:,} of them that neither side learned from" if found.compared_rows else "all of them"
        text += f" The champion is version {found.compared_with} ({which}), on {on}; the difference is this version less the champion."
    return Section("Metrics", (text,), ("metric", "this version", "95% interval", *beside, "no features"), tuple(rows))


def _gates(card: Card) -> Section:
    rows = tuple(
        (one.gate, number(one.value), number(one.bound), between(one.interval), "yes" if one.passed else "NO") for one in card.gates
    )
    return Section("Gates", (), ("gate", "value", "bound", "95% interval", "passed"), rows)


def _parts(card: Card) -> tuple[Section | None, ...]:
    """Slices, fairness and calibration, each only where something was measured."""
    found = card.evaluation
    slices = tuple(
        (part.rows_where, f"{part.rows:,}", part.metric, number(part.value), between(part.interval), number(part.overall), part.how)
        for part in parts(found)
    )
    fairness = tuple(
        (one.attribute, metric, number(value), between(one.interval.get(metric)), _groups(one))
        for one in found.fairness
        for metric, value in one.metrics.items()
    )
    calibration = tuple((number(one.predicted), number(one.observed)) for one in found.calibration)
    return (
        _section("Slices", ("rows where", "rows", "metric", "value", "95% interval", "all rows", "was"), slices),
        _section("Fairness", ("attribute", "metric", "value", "95% interval", "groups"), fairness),
        _section("Calibration", ("predicted", "observed"), calibration),
    )


def _groups(one: Fairness) -> str:
    return ", ".join(f"{group.name}: {group.value:.4g}" for group in one.groups)


def _section(title: str, header: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> Section | None:
    return Section(title, (), header, rows) if rows else None


def _explanations(card: Card) -> Section | None:
    if card.explanation is None:
        return None
    most, rest = card.explanation.features[:TOP_FEATURES], card.explanation.features[TOP_FEATURES:]
    rows = tuple(
        (one.feature, f"{one.share:.1%}", "" if one.interval is None else f"{one.interval[0]:.1%} to {one.interval[1]:.1%}") for one in most
    )
    left = (f"{len(rest)} more features have {sum(one.share for one in rest):.1%} together.",) if rest else ()
    said = ("Each feature's share of all attribution (Shapley values).", *left, *notes(card.evaluation))
    return Section("What it rests on", said, ("feature", "share", "95% interval"), rows)


def _lineage(card: Card) -> Section:
    known = card.lineage
    rows = [
        ("release", f"{known.release or 'none'}, attempt {known.attempt}"),
        ("pipeline", f"{known.pipeline.name} {known.pipeline.version}"),
        ("recipe", known.recipe),
        ("commit", known.commit),
        ("libraries", ", ".join(f"{name} {version}" for name, version in known.libraries.items())),
    ]
    if known.estimator:
        settings = ", ".join(f"{name}={value}" for name, value in sorted(known.parameters.items()))
        rows += [("estimator", f"{known.estimator}, seed {known.seed}"), ("parameters", settings)]
    return Section("Lineage", (), ("what", "which"), tuple(rows))


def _again(card: Card) -> Section:
    name = card.lineage.model
    text = f"trimtab lineage {name} VERSION tells which event led to it and what became of it; trimtab reproduce {name} VERSION fits it "
    text += "again from the same rows and compares the predictions. VERSION is its number in the registry."
    return Section("How to make it again", (text,))


def number(value: float | None) -> str:
    """A number with five digits that count."""
    return "" if value is None else f"{value:.5g}"


def between(interval: tuple[float, float] | None) -> str:
    """An interval in words."""
    return "" if interval is None else f"{number(interval[0])} to {number(interval[1])}"


def moment(when: datetime | None) -> str:
    """A time in UTC."""
    return when.strftime("%Y-%m-%d %H:%M:%S") if when else ""


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
