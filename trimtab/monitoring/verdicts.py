"""What a window's checks lead to, given those of the windows before it: findings, or nothing. Pure; a backtest asks the same."""

from collections.abc import Sequence

from trimtab.events import Finding
from trimtab.monitoring.deciding import Drift, lasting, persistent
from trimtab.monitoring.estimate import states
from trimtab.monitoring.explanation import Ranking
from trimtab.monitoring.findings import Where, moved, reordered, worse
from trimtab.monitoring.performance import Judgement, kind, lasting_slice
from trimtab.monitoring.records import WindowRecord
from trimtab.spec import Model
from trimtab.units import Persistence, persistence


def found_drift(where: Where, before: Sequence[WindowRecord], drift: Drift) -> list[Finding]:
    """What a window's drift check leads to, given the version's windows before it (oldest first)."""
    rule, harm = asked(where.model), hurts([*before, where.record])
    history = [*(other.drift or Drift() for other in before), drift]
    findings = []
    for prediction in (False, True):
        names = lasting(history, rule, prediction=prediction)
        if names:
            findings.append(moved(where, drift, names, rule, harm, prediction=prediction))
    return findings


def found_explanation(where: Where, before: Sequence[WindowRecord], ranking: Ranking) -> list[Finding]:
    """What a window's ranking leads to, given the version's windows before it (oldest first).

    Whether it hurts is said by matured labels alone: a moved order is no evidence of it.
    """
    rule = asked(where.model)
    if not persistent([*(other.explanation is not None and other.explanation.moved for other in before), ranking.moved], rule):
        return []
    judged = [other.judgement for other in (*before, where.record) if other.judgement is not None]
    return [reordered(where, ranking, rule, judged[-1].rose if judged else None)]


def found_performance(where: Where, before: Sequence[WindowRecord], judgement: Judgement | None) -> list[Finding]:
    """What a window's judgement leads to, given the version's windows before it (oldest first)."""
    record, rule = where.record, asked(where.model)
    if judgement is None or record.spoiled:
        return []
    history = [other.judgement for other in before if other.judgement is not None and not other.spoiled]
    drifts = [other.drift or Drift() for other in before] + [record.drift or Drift()]
    inputs = lasting(drifts, rule, prediction=False)
    untested = record.drift is None or bool(record.drift.failed)
    named = kind([*history, judgement], rule, inputs_moved=bool(inputs) or untested)
    if not named:
        return []
    whole = named == "concept" or persistent([one.past for one in (*history, judgement)], rule)
    part = "" if whole else lasting_slice([*history, judgement], rule)
    return [worse(where, named, judgement, rule, inputs, part)]


def news_since(model: Model, window: int) -> int:
    """Since which window a finding in `window` must not have been told to be news: as many as persistence looks at."""
    return window - asked(model).windows + 1


def asked(model: Model) -> Persistence:
    """How many of how many windows have to say the same before it is told."""
    return persistence(model.spec.monitoring.drift.persistence)


def hurts(history: Sequence[WindowRecord]) -> bool | None:
    """Whether the newest judgement shows a worse error, or an estimate of the newest window that no label contradicts; None without one.

    An estimate alone never says that nothing hurts.
    """
    states_of = states([(record.estimate, record.judgement) for record in history])
    if history and history[-1].estimate is not None and history[-1].estimate.rose and states_of[-1] == "estimated":
        return True
    judged = [record.judgement for record in history if record.judgement is not None]
    return judged[-1].rose if judged else None
