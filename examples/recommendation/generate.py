"""Items that a shop recommends, about 8% of them clicked; whether one was is known within the hour.

| column | type | what it is |
|---|---|---|
| `shown_at` | time stamp | event time, strictly increasing, UTC |
| `impression_id` | text | key |
| `segment` | text | which of ten kinds of shopper sees it |
| `category`, `brand`, `price_band` | text | the item's: 20 categories, 50 brands, 5 price bands |
| `season` | text | what the item is made for: summer, winter or all_year |
| `device`, `placement` | text | where it is shown |
| `position` | integer | its place in the list, from 1 to `PLACES` |
| `hour`, `weekday` | integer | 0 to 23, and 0 (Monday) to 6 |
| `referrer` | text | where the visit came from: 120 sources |
| `age_band` | text | the shopper's age: the sensitive attribute |
| `clicked` | integer | label, 0 or 1 |

The truth (`_appeal`) is a logit. Most of it is a sum of effects of single levels, which a line learns as well as trees do; beside them
are tastes (a segment likes some categories, and some prices) and a habit (phones in the evening). Most brands and referrers are rare,
so who believes each of them learns noise. `weekday` and `age_band` have no effect.

What changes: from `MIX_FROM` to `SEASON_FROM` the shop fills with summer items: the inputs alone. On `SEASON_FROM` the shoppers' minds
change, and with them the concept: summer items appeal more, winter items less, tastes are others, and the `NEW_FASHION` most frequent
brands trade their appeal. So 4 months are a world in which only covariates move, and a calm one is a world in which nothing does.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from examples.stream import Array, arrivals, columns, hour, keys, main, pick, ramp, sigmoid, weekday, zipf

START = np.datetime64("2024-01-01")
MIX_FROM, SEASON_FROM = np.datetime64("2024-04-01"), np.datetime64("2024-05-01")
LABEL, SENSITIVE, PROTECTED = "clicked", "age_band", "61+"

BIAS = 0.5
"""In the biased world: the share of the clicks of `PROTECTED` that is not logged."""
SUMMER_APPEAL, WINTER_APPEAL = 1.2, -1.4
"""What the new season adds to the logit of a summer item and of a winter item."""
NEW_FASHION = 15

SEASONS, MIX, SUMMER_MIX = ("summer", "winter", "all_year"), np.array([0.15, 0.40, 0.45]), np.array([0.45, 0.10, 0.45])
SEGMENTS = ("bargain", "family", "student", "sporty", "classic", "trendy", "premium", "gift", "home", "new")
CATEGORIES = tuple(f"category-{number:02}" for number in range(1, 21))
BRANDS = tuple(f"brand-{number:02}" for number in range(1, 51))
PRICE_BANDS, PRICED = ("lowest", "low", "middle", "high", "luxury"), np.array([0.20, 0.30, 0.28, 0.16, 0.06])
DEVICES, OWNED = ("phone", "app", "desktop", "tablet"), np.array([0.46, 0.24, 0.24, 0.06])
PLACEMENTS, PLACED = ("home", "search", "category", "cart", "mail"), np.array([0.30, 0.28, 0.22, 0.12, 0.08])
REFERRERS = tuple(f"source-{number:03}" for number in range(1, 121))
AGE_BANDS, AGES = ("18-25", "26-40", "41-60", "61+"), np.array([0.20, 0.36, 0.28, 0.16])
PLACES = 20
LEVELS = {
    **{"segment": SEGMENTS, "category": CATEGORIES, "brand": BRANDS, "price_band": PRICE_BANDS, "season": SEASONS},
    **{"device": DEVICES, "placement": PLACEMENTS, "referrer": REFERRERS, "age_band": AGE_BANDS},
}

_WORLD = np.random.default_rng(2024)
BASE, HABIT, PLACE_APPEAL = -3.0, 0.2, -0.3
PLACEMENT_APPEAL = np.array([-0.2, 0.7, 0.2, 0.3, -0.6])
SEGMENT_APPEAL = _WORLD.normal(0, 0.25, len(SEGMENTS))
CATEGORY_APPEAL = _WORLD.normal(0, 0.35, len(CATEGORIES))
BRAND_APPEAL = _WORLD.normal(0, 0.5, len(BRANDS))
NEW_BRAND_APPEAL = np.concatenate([np.roll(BRAND_APPEAL[:NEW_FASHION], 1), BRAND_APPEAL[NEW_FASHION:]])
REFERRER_APPEAL = _WORLD.normal(0, 0.8, len(REFERRERS)) * (_WORLD.random(len(REFERRERS)) < 0.15)
TASTE = _WORLD.normal(0, 0.45, (len(SEGMENTS), 2)) @ _WORLD.normal(0, 1.0, (2, len(CATEGORIES)))
"""What a segment thinks of a category: two hidden traits of each."""
NEW_TASTE = np.roll(TASTE, 1, axis=1)
THRIFT = np.outer(np.linspace(-0.35, 0.35, len(SEGMENTS)), np.linspace(-1.5, 1.5, len(PRICE_BANDS)))
"""What a segment thinks of a price band. All effects are the same whatever the seed of the rows."""


def generate(rows: int, seed: int, *, months: int = 6, calm: bool = False, biased: bool = False, truth: bool = False) -> pa.Table:
    """`rows` impressions of the first `months` months in the order of time; equal arguments give equal tables.

    With `truth` there is a column `probability` before the label: the one that it was drawn with, which no learner can beat.
    """
    draw = np.random.default_rng(seed)
    at = arrivals(draw, rows, START, months)
    found = _impressions(draw, at, calm)
    chance = sigmoid(_appeal(found, at, calm))
    if biased:
        chance *= 1 - BIAS * (found[SENSITIVE] == AGE_BANDS.index(PROTECTED))
    label = (draw.random(rows) < chance).astype(int)
    more: dict[str, Any] = {"probability": chance} if truth else {}
    return pa.table({"shown_at": at, "impression_id": keys("i", rows), **columns(found, LEVELS), **more, LABEL: label})


def _impressions(draw: np.random.Generator, at: Array, calm: bool) -> dict[str, Array]:
    """What is shown to whom, where and when."""
    rows = len(at)
    moved = np.zeros(rows) if calm else ramp(at, MIX_FROM, SEASON_FROM)
    return {
        "segment": pick(draw.random(rows), zipf(len(SEGMENTS), 0.5)),
        "category": pick(draw.random(rows), zipf(len(CATEGORIES), 0.6)),
        "brand": pick(draw.random(rows), zipf(len(BRANDS), 1.0)),
        "price_band": pick(draw.random(rows), PRICED),
        "season": pick(draw.random(rows), MIX + (SUMMER_MIX - MIX) * moved[:, None]),
        "device": pick(draw.random(rows), OWNED),
        "placement": pick(draw.random(rows), PLACED),
        "position": 1 + (PLACES * draw.random(rows) ** 2).astype(int),
        "hour": hour(at),
        "weekday": weekday(at),
        "referrer": pick(draw.random(rows), zipf(len(REFERRERS), 1.0)),
        "age_band": pick(draw.random(rows), AGES),
    }


def _appeal(found: dict[str, Array], at: Array, calm: bool) -> Array:
    """The logit of a click."""
    segment, category, brand, device = (found[name] for name in ("segment", "category", "brand", "device"))
    evening = (found["hour"] >= 19) | (found["hour"] < 7)
    logit = BASE + SEGMENT_APPEAL[segment] + CATEGORY_APPEAL[category] + REFERRER_APPEAL[found["referrer"]]
    logit += PLACEMENT_APPEAL[found["placement"]] + PLACE_APPEAL * np.log(found["position"])
    logit += THRIFT[segment, found["price_band"]] + HABIT * ((device < 2) == evening)
    if calm:
        return logit + BRAND_APPEAL[brand] + TASTE[segment, category]
    changed = at >= SEASON_FROM
    logit += np.where(changed, NEW_BRAND_APPEAL[brand], BRAND_APPEAL[brand])
    logit += np.where(changed, NEW_TASTE[segment, category], TASTE[segment, category])
    return logit + changed * np.array([SUMMER_APPEAL, WINTER_APPEAL, 0.0])[found["season"]]


if __name__ == "__main__":
    main(__doc__, generate, rows=60_000, months=6, out="build/recommendation/impressions.parquet")
