"""What a version must not be trusted with, found in its own numbers: nothing here is written by hand, so nothing is left out."""

from trimtab.training.card_facts import Card, Part, parts
from trimtab.units import duration

FEW_ROWS = 200
FEW_IN_SLICE = 100
WIDE = 0.1
FAR = 1.25


def limits(card: Card) -> tuple[str, ...]:
    """The sentences, the most general first; there is always at least one."""
    found = (_judged, _holdout, _champion, _intervals, _slices, _unseen)
    last = card.lineage.data.last
    until = f" up to {last:%Y-%m-%d %H:%M:%S}" if last else ""
    always = f"All numbers are of rows{until}. How it does once the world has changed is for the monitor to tell."
    return (*(sentence for part in found for sentence in part(card)), *card.warnings, always)


def _judged(card: Card) -> list[str]:
    fitted = card.fitted
    if fitted is None:
        return ["It was not fitted by Trimtab's pipeline: it cannot be made again from its rows."]
    if not fitted.refit:
        return []
    until = f" up to {fitted.trained_until:%Y-%m-%d %H:%M:%S}" if fitted.trained_until else ""
    text = "Gates and metrics judged its twin, which saw nothing of the holdout. The version that serves was fitted once more"
    return [f"{text} on {fitted.rows:,} rows{until}, with the same settings; no rows are left that could tell how well it does itself."]


def _holdout(card: Card) -> list[str]:
    found, data = card.evaluation, card.lineage.made.data
    said = []
    if found.holdout_rows < FEW_ROWS:
        said.append(f"It was judged on {found.holdout_rows} rows only; fewer than {FEW_ROWS} tell little of what is rare.")
    if data.time is None:
        said.append("The rows carry no time: the holdout is a random fifth of them, and nothing tells how it does on later rows.")
    elif duration(data.label_delay):
        said.append(f"Labels arrive {data.label_delay} late: what changed in that time before the cut it does not know.")
    return said


def _champion(card: Card) -> list[str]:
    if card.evaluation.unasked:
        return [f"The champion was not compared: {card.evaluation.unasked}."]
    if card.evaluation.champion is None:
        return ["There was no champion to compare it with."]
    if card.evaluation.compared_on == "twin":
        return ["The champion was compared by its twin, for too few rows are later than what the champion itself was fitted on."]
    return []


def _intervals(card: Card) -> list[str]:
    found = card.evaluation
    wide = []
    for name, (low, high) in found.interval.items():
        value = found.candidate.get(name)
        if value and (high - low) / 2 > WIDE * abs(value):
            wide.append(f"{name} ({(high - low) / 2 / abs(value):.0%})")
    if not wide:
        return []
    return [f"These are not known better than to within a tenth of their value, half the 95% interval in brackets: {', '.join(wide)}."]


def _slices(card: Card) -> list[str]:
    told = parts(card.evaluation)
    small = [part for part in told if part.rows < FEW_IN_SLICE]
    said = [f"It does worse where {part.rows_where}: {part.metric} {part.value:.5g} on {part.rows} rows, {part.overall:.5g} on all."
            for part in told if _worse(part)]  # fmt: skip
    if small:
        said.append(f"Fewer than {FEW_IN_SLICE} rows speak for these slices: {', '.join(part.rows_where for part in small)}.")
    return said


def _worse(part: Part) -> bool:
    """Whether the slice was found to be worse, and its own interval says so too."""
    return (
        part.found and part.overall is not None and part.interval is not None and not part.interval[0] <= part.overall <= part.interval[1]
    )


def _unseen(card: Card) -> list[str]:
    categories = [feature.name for feature in card.schema.features if feature.kind == "category"]
    if not categories:
        return []
    return [f"A category that training never saw counts as missing, in {', '.join(categories)}."]
