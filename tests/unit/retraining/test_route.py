"""What a finding leads to: one sentence a row of the design's table."""

import pytest

from tests.unit.retraining.releases import NOW, model
from trimtab.events import Finding, FindingKind
from trimtab.retraining.route import route


def finding(kind: FindingKind, *, hurts: bool | None = None, seasons: float = 0.0) -> Finding:
    return Finding("churn", "default", "uid-churn", "1", kind, 3, NOW, NOW, NOW, "what was found", hurts=hurts, seasons=seasons)


WITH, WITHOUT = ("performance", "drift"), ("performance",)
CONCEPT = ("retrain", "concept", False, False)
CASES = [
    ("broken data pages, holds and is never trained on", finding("quality", hurts=True, seasons=9), WITH, ("page", None, True, True)),
    ("a worse model is retrained and a person told", finding("performance"), WITHOUT, ("retrain", "performance", True, False)),
    ("a changed concept is retrained", finding("concept"), WITHOUT, CONCEPT),
    ("moved inputs that hurt, and the policy names drift", finding("covariate", hurts=True), WITH, ("retrain", "drift", False, False)),
    ("moved predictions that hurt", finding("prediction", hurts=True), WITH, ("retrain", "drift", False, False)),
    ("moved inputs that hurt, but drift is not named", finding("covariate", hurts=True), WITHOUT, ("watch", None, False, False)),
    ("moved inputs, harmless by the labels", finding("covariate", hurts=False, seasons=9), WITH, ("watch", None, False, False)),
    ("moved inputs without labels, the seasons are known", finding("covariate", seasons=3), WITH, ("retrain", "drift", False, False)),
    ("another order of what answers rest on, and labels say that it hurts", finding("explanation", hurts=True), WITHOUT, CONCEPT),
    ("another order, harmless by the labels", finding("explanation", hurts=False, seasons=9), WITH, ("watch", None, False, False)),
    ("another order without labels, whatever seasons are known", finding("explanation", seasons=9), WITH, ("watch", None, False, False)),
    ("moved inputs without labels, it may be a season", finding("covariate", seasons=2.9), WITH, ("watch", None, False, False)),
]


@pytest.mark.parametrize(("found", "on", "leads_to"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_it_leads_to(found: Finding, on: tuple[str, ...], leads_to: tuple[str, str | None, bool, bool]) -> None:
    answer = route(found, model(on=on))
    assert (answer.action, answer.trigger, answer.page, answer.hold) == leads_to
    assert "what was found" in answer.sentence


def test_a_watch_says_why_it_only_watches() -> None:
    reasons = [
        route(finding("covariate", seasons=1.5), model(on=WITH)),
        route(finding("covariate", hurts=False), model(on=WITH)),
        route(finding("covariate"), model(on=WITHOUT)),
    ]
    assert [answer.reason for answer in reasons] == ["SeasonsUnknown", "DriftHarmless", "DriftWatched"]
    assert "the reference spans 1.5 of 3 seasons" in reasons[0].sentence
