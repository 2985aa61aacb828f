"""Card payments of a bank, about 1% of them fraud; whether one was is known when the customer disputes it, days later.

| column | type | what it is |
|---|---|---|
| `paid_at` | time stamp | event time, strictly increasing, UTC |
| `payment_id` | text | key |
| `amount`, `usual_amount` | number | this payment, and what the customer usually pays, in euro |
| `category` | text | the merchant's; the last two come up from `ONLINE_FROM` on |
| `channel` | text | chip, contactless, atm or online |
| `card_country`, `merchant_country` | text | where the card was issued, and where the merchant is |
| `hour` | integer | hour of the day, 0 to 23 |
| `payments_last_hour` | integer | of this card, this one not counted |
| `device_age_days` | number | for how long the paying device is known; null unless online |
| `account_age_days`, `balance` | number | they say nothing about fraud |
| `region` | text | where the customer lives: slices of very different size |
| `age_band` | text | the customer's age: the sensitive attribute |
| `fraud` | integer | label, 0 or 1 |

The truth (`_risk`) is a logit, most of it interactions: who takes an account over pays more than usual from a new device; who stole a card
pays often within the hour, in person; who copied one buys abroad what can be sold again. `region` and `age_band` have no effect, nor
has anything that goes with them. Of all frauds `UNREPORTED` are never disputed, of all good payments `FRIENDLY` are.

What changes: from `ONLINE_FROM` to `ONLINE_UNTIL` payments move online and to new categories: the inputs alone. From `PATTERN_FROM`
on devices that are long known are hijacked, for small payments by day that were harmless before: the concept. So 8 months are a
world in which only covariates move, and a calm one is a world in which nothing does.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from examples.stream import Array, arrivals, columns, hour, keys, main, pick, ramp, sigmoid

START = np.datetime64("2024-01-01")
ONLINE_FROM, ONLINE_UNTIL = np.datetime64("2024-07-15"), np.datetime64("2024-08-15")
PATTERN_FROM = np.datetime64("2024-09-01")
LABEL, SENSITIVE, PROTECTED = "fraud", "age_band", "18-25"

UNREPORTED, FRIENDLY = 0.05, 0.0005
BIAS = 0.02
"""In the biased world: the share of the good payments of `PROTECTED` that is reported as fraud."""
ONLINE_BEFORE, ONLINE_AFTER = 0.35, 0.65
NEW_CATEGORY_SHARE = 0.07
"""The share of the payments that each of the two new categories has in the end."""
BASE, ONLINE_RISK, NIGHT_RISK, EXCESS_RISK = -6.2, 0.4, 0.4, 0.5
TAKEN_OVER, STOLEN, COPIED, HIJACKED = 4.6, 4.2, 4.4, 4.2
"""What each pattern of fraud adds to the logit; the last one from `PATTERN_FROM` on."""

CATEGORIES = {
    **{"groceries": -0.5, "restaurants": -0.3, "fuel": -0.2, "fashion": 0.0, "pharmacy": -0.3, "electronics": 0.4, "travel": 0.2},
    **{"gaming": 0.3, "gift_cards": 0.8, "jewellery": 0.5, "instant_credit": 0.6, "marketplace": 0.3},
}
"""Each category's own risk, on the logit."""
USED = np.array([0.26, 0.16, 0.10, 0.12, 0.08, 0.09, 0.06, 0.07, 0.03, 0.03])
RESOLD = np.isin(list(CATEGORIES), ("electronics", "gift_cards", "jewellery", "marketplace"))
CHANNELS, IN_PERSON = ("chip", "contactless", "atm", "online"), np.array([0.45, 0.43, 0.12])
ONLINE = CHANNELS.index("online")
COUNTRIES, ISSUED, ABROAD = ("DE", "FR", "NL", "PL", "IT", "US"), np.array([0.64, 0.12, 0.09, 0.07, 0.05, 0.03]), 0.08
REGIONS, LIVING = ("north", "south", "east", "west", "islands"), np.array([0.34, 0.28, 0.18, 0.16, 0.04])
AGE_BANDS, AGES = ("18-25", "26-40", "41-60", "61+"), np.array([0.15, 0.35, 0.32, 0.18])
LEVELS = {
    **{"category": tuple(CATEGORIES), "channel": CHANNELS, "card_country": COUNTRIES, "merchant_country": COUNTRIES},
    **{"region": REGIONS, "age_band": AGE_BANDS},
}


def generate(rows: int, seed: int, *, months: int = 12, calm: bool = False, biased: bool = False, truth: bool = False) -> pa.Table:
    """`rows` payments of the first `months` months in the order of time; equal arguments give equal tables.

    With `truth` there is a column `probability` before the label: the one that it was drawn with, which no learner can beat.
    """
    draw = np.random.default_rng(seed)
    at = arrivals(draw, rows, START, months)
    customers = _customers(draw, rows)
    found = {**_payments(draw, at, customers, calm), **customers}
    fraud = sigmoid(_risk(found, at, calm))
    chance = fraud * (1 - UNREPORTED) + (1 - fraud) * FRIENDLY
    if biased:
        chance += (1 - chance) * BIAS * (found[SENSITIVE] == AGE_BANDS.index(PROTECTED))
    label = (draw.random(rows) < chance).astype(int)
    more: dict[str, Any] = {"probability": chance} if truth else {}
    return pa.table({"paid_at": at, "payment_id": keys("p", rows), **columns(found, LEVELS), **more, LABEL: label})


def _customers(draw: np.random.Generator, rows: int) -> dict[str, Array]:
    """Who pays: what is known of the customer at each payment; some customers pay far more often than others."""
    customers = max(100, rows // 30)
    who = (customers * draw.random(rows) ** 1.5).astype(int)
    habit = np.exp(draw.normal(3.4, 0.7, customers))
    return {
        "usual_amount": np.round(habit[who] * np.exp(draw.normal(0, 0.1, rows)), 2),
        "card_country": pick(draw.random(customers), ISSUED)[who],
        "account_age_days": draw.gamma(2.0, 900.0, customers)[who].astype(int),
        "balance": np.round(np.exp(draw.normal(7.0, 1.2, rows)), 2),
        "region": pick(draw.random(customers), LIVING)[who],
        "age_band": pick(draw.random(customers), AGES)[who],
    }


def _payments(draw: np.random.Generator, at: Array, customers: dict[str, Array], calm: bool) -> dict[str, Array]:
    """What is paid, where and how."""
    rows = len(at)
    moved = np.zeros(rows) if calm else ramp(at, ONLINE_FROM, ONLINE_UNTIL)
    online = draw.random(rows) < ONLINE_BEFORE + (ONLINE_AFTER - ONLINE_BEFORE) * moved
    new = NEW_CATEGORY_SHARE * moved[:, None] * np.ones(2)
    used = np.concatenate([USED * (1 - new.sum(axis=1, keepdims=True)), new], axis=1)
    away = (draw.random(rows) < ABROAD) * draw.integers(1, len(COUNTRIES), rows)
    spree = draw.random(rows) < np.where(online, 0.12, 0.03)
    amount = customers["usual_amount"] * np.exp(draw.normal(-0.15, 0.75, rows))
    return {
        "amount": np.round(np.maximum(amount, 0.5), 2),
        "category": pick(draw.random(rows), used),
        "channel": np.where(online, ONLINE, pick(draw.random(rows), IN_PERSON)),
        "merchant_country": (customers["card_country"] + away) % len(COUNTRIES),
        "hour": hour(at),
        "payments_last_hour": draw.poisson(0.25, rows) + spree * draw.poisson(2.5, rows),
        "device_age_days": np.where(online, np.round(draw.gamma(0.7, 420.0, rows), 1), np.nan),
    }


def _risk(found: dict[str, Array], at: Array, calm: bool) -> Array:
    """The logit of a payment's being fraud."""
    online, excess = found["channel"] == ONLINE, np.log(found["amount"] / found["usual_amount"])
    night = (found["hour"] < 6) | (found["hour"] == 23)
    abroad = found["merchant_country"] != found["card_country"]
    logit = BASE + np.array(list(CATEGORIES.values()))[found["category"]]
    logit += ONLINE_RISK * online + NIGHT_RISK * night + EXCESS_RISK * np.clip(excess, -1, 1)
    logit += TAKEN_OVER * (online & (found["device_age_days"] < 10) & (excess > 0.3))
    logit += STOLEN * (~online & (found["payments_last_hour"] >= 3))
    logit += COPIED * (abroad & RESOLD[found["category"]])
    if not calm:
        hijacked = online & (found["device_age_days"] > 365) & (excess < -0.6) & ~night
        logit += HIJACKED * (hijacked & (at >= PATTERN_FROM))
    return logit


if __name__ == "__main__":
    main(__doc__, generate, rows=60_000, months=12, out="build/fraud/payments.parquet")
