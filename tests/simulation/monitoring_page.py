"""The simulated fleet's page: docs/evidence/monitoring.md and its plot."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.monitoring.deciding import DESIGN, FALSE_FINDINGS

if TYPE_CHECKING:
    from tests.simulation.monitoring import Row
    from tests.simulation.monitoring_caged import Alarms, Numbers

HEAD = """# Monitoring: false findings, power, delay

`make simulate-monitoring MODELS={models}` writes this page and `build/simulation/monitoring.json` (fixed seeds; 1,000 models where
nothing is said). A model has four numbers, a category of three and a prediction, 10,000 rows of reference over 180 days, and a window a
day; labels come with the rows. Every window goes through the product's own functions: columns, dependence, effects, levels, persistence,
performance, at the default policy (effect 0.2, 2 of 5).

A *finding* of ours is what the monitor would send (what lasts is told again after five windows), of any kind. The others have no
persistence: each window in alarm counts. *Power within 5* is the share of models with one within five windows of the shift, *delay* the
median of the windows to the first, among the models that have one. *Effect* is of the column that moves most, in the monitor's own units.

Streams: in *weekly season* two days of seven are 0.4 SD higher in three columns; in *autocorrelated days* the days' means wander by
0.15 SD, an autoregression of 0.8 a day; neither drifts. Everywhere one number has a cycle within the day.

Methods: Trimtab as it is; the same with the tests' p-values taken as they are (*rows taken as independent*), with a *block bootstrap* of
the reference (a window out of one block, 200 times, carried on by the statistic's law), with a least effect of 0.08, and with a seasonal
reference. Alibi's TabularDrift, PSI and Evidently as they come. TabularDrift is the test of each column at 0.05 over their number;
its p-values are computed here by the asymptotic laws, which differ from SciPy's by at most {difference:.1g}.
"""
NOTES = """
## What this says, and what it does not

- Where days are alike the least effect alone keeps the monitor still; where they are not, rows taken as independent make a finding in
  one of six windows, and the p-value that knows of the days hardly any.
- A column that moves by less than the declared effect is no finding, by design: variance x1.5 (0.18 SD), ten points of a category (0.1)
  and a correlation of 0.5 seen through the prediction (0.17 SD) are below the default of 0.2. Who declares 0.08 sees them. The
  Kolmogorov-Smirnov test alone would not see the variance, whatever is declared: its statistic of 0.05 is within what 10,000 rows of
  reference leave unknown of how days differ; the ranks at both ends show it. What moves only together, in no column and not in the
  prediction, is for the classifier. So small an effect is as much as days differ where they are autocorrelated: the few findings
  there are days that did.
  What moves only the labels is for the performance, which finds it (only the methods of Trimtab were given the labels).
- The offset's own variance knows residuals that follow their neighbours. Where they forget so slowly that a window is worth ten independent
  rows or fewer, an offset cannot be told from a wandering level, and nothing is said; persistence keeps what is left of false words rare.
- The online detectors' expected run time holds for rows that are independent and days that are alike. On days that differ they
  alarm up to twice as often, and nothing corrects them.
- Where days differ by themselves, a shift of that size is not told from such a day. Where the difference is a season, the seasonal
  reference brings the power back. PSI finds the shift on top of a weekend, and not the same shift alone.
- A block bootstrap with blocks as long as a window resamples the 55 rows that the reference keeps of a day: its windows have their
  noise, not that of 5,000, and nothing is found. Its own p-values would end at one in the number of blocks, 180; the level of one of five
  columns in a window of a day is 1 in 28,571.
- Persistence is not credited in the levels, so there are fewer findings than the budget allows.
"""
OFFSET = """
## Labels that lie off on average

The rule of the offset alone (`trimtab/monitoring/offset.py`), for a model whose residuals are an autoregression with a variance of 1: at
the default margin and persistence, beside its words before persistence and beside two other variances of the mean before persistence.
First without an offset, words in 1,000 model-days; then with one of 0.6 standard deviations, which makes the error 1.17 times what it
would be.
"""
JOINT = """
## What moves only together

`drift.detector: classifier` on the inputs alone, without the prediction, at a least effect of 0.08, windows of 5,000 rows.
"""
ONLINE = """
## The online detectors' false alarms

Windows of 1,000 rows of streams that do not drift, `expectedRunTime: 1000`: what share of columns' windows alarms, beside what the
expected run time allows, and what run time that share is. These are a detector's alarms, before effect and persistence.
"""
SEASONAL = "Trimtab, seasonal reference"
SMALL = ("Trimtab, effect 0.08", f"{SEASONAL}, effect 0.08")
SHORT = {
    "Trimtab": "ours",
    SEASONAL: "ours, seasonal reference",
    SMALL[0]: "ours, effect 0.08",
    SMALL[1]: "ours, seasonal, effect 0.08",
    "Trimtab, rows taken as independent": "ours, independent rows",
    "Trimtab, block bootstrap instead": "ours, block bootstrap",
}


def _calm(rows: Sequence["Row"]) -> list[str]:
    """Findings or alarms in 1,000 model-days, one column a method."""
    return _pivot(rows, calm=True, cell=lambda row: f"{row.findings_per_1000_model_days:.2f}")


def _planted(rows: Sequence["Row"]) -> list[str]:
    """Power within 5 windows, and the median delay, one column a method."""

    def cell(row: "Row") -> str:
        delay = "" if row.median_delay_windows is None else f", {row.median_delay_windows:g}"
        return f"{row.power_5_windows:.2f}{delay}"

    return _pivot(rows, calm=False, cell=cell)


def _pivot(rows: Sequence["Row"], *, calm: bool, cell: Callable[["Row"], str]) -> list[str]:
    chosen = [row for row in rows if (row.power_5_windows is None) == calm]
    methods = sorted({row.method for row in rows}, key=lambda method: ([*SHORT].index(method) if method in SHORT else len(SHORT), method))
    lines = ["| stream | effect | rows | model-days | " + " | ".join(methods) + " |", "|---" * (4 + len(methods)) + "|"]
    for stream, size in dict.fromkeys((row.stream, row.rows) for row in chosen):
        here = {row.method: row for row in chosen if (row.stream, row.rows) == (stream, size)}
        one = next(iter(here.values()))
        values = " | ".join(cell(here[method]) if method in here else "" for method in methods)
        lines.append(f"| {stream} | {one.effect:.2f} | {size:,} | {one.models * one.windows * one.days_a_window:,.0f} | {values} |")
    return lines


def _promises(rows: Sequence["Row"]) -> list[str]:
    """What was promised beside what was found, our own rows at 5,000 a window."""
    ours = [row for row in rows if row.method in ("Trimtab", SEASONAL, *SMALL) and row.rows == 5000]
    ours = [row for row in ours if row.method == "Trimtab" or row.stream != "concept only"]
    lines = ["| stream | method | promised | found |", "|---|---|---|---|"]
    for row in ours:
        if row.power_5_windows is None:
            count = round(row.findings_per_1000_model_days * row.models * row.windows / 1000)
            promise = f"at most {1000 * FALSE_FINDINGS:g} in 1,000 model-days, designed at {DESIGN:g} of it"
            lines.append(f"| {row.stream} | {row.method} | {promise} | {count} in {row.models * row.windows:,} model-days |")
        else:
            delay = "" if row.median_delay_windows is None else f", median delay {row.median_delay_windows:g}"
            lines.append(f"| {row.stream} | {row.method} | {_promise(row)} | {row.power_5_windows:.2f}{delay} |")
    return lines


def _promise(row: "Row") -> str:
    if row.stream == "concept only":
        return "power 0.9 within 5, by the labels"
    if row.stream.startswith("gradual"):
        return "none within 5, where it is at half its size at most"
    if row.effect < (0.08 if row.method in SMALL else 0.2):
        return "none: below the least effect by design"
    if not row.method.startswith(SEASONAL) and ("days" in row.stream or "season" in row.stream):
        return "none: days differ nearly as much by themselves"
    return "power 0.9 within 5"


def _plot(path: Path, rows: Sequence["Row"]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "trimtab"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(13, 5))
    usual = [row for row in rows if row.rows == 5000]
    for axis, calm in zip(axes, (True, False), strict=True):
        chosen = [row for row in usual if (row.power_5_windows is None) == calm]
        streams, methods = (list(dict.fromkeys(getattr(row, name) for row in chosen)) for name in ("stream", "method"))
        for place, method in enumerate(methods):
            values = {
                row.stream: row.findings_per_1000_model_days if calm else row.power_5_windows for row in chosen if row.method == method
            }
            spots = [n + (place - len(methods) / 2) * 0.09 for n, stream in enumerate(streams) if stream in values]
            heights = [max(float(values[stream] or 0.0), 0.02 if calm else 0.0) for stream in streams if stream in values]
            axis.barh(spots, heights, 0.09, label=SHORT.get(method, method))
        axis.set_yticks(range(len(streams)), streams, fontsize=7)
        axis.invert_yaxis()
    axes[0].set(title="findings or alarms in 1,000 model-days, no drift", xscale="log", xlim=(0.02, 1500))
    axes[0].axvline(1000 * FALSE_FINDINGS, color="black", linewidth=0.8)
    axes[1].set(title="power within 5 windows of 5,000 rows")
    axes[1].axvline(0.9, color="black", linewidth=0.8)
    axes[0].legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _joint(rows: Sequence["Row"]) -> list[str]:
    lines = ["| stream | model-days | findings | within 5 windows |", "|---|---|---|---|"]
    for row in rows:
        days = row.models * row.windows
        power = "" if row.power_5_windows is None else f"{row.power_5_windows:.2f}"
        lines.append(f"| {row.stream} | {days} | {round(row.findings_per_1000_model_days * days / 1000)} | {power} |")
    return lines


def _online(alarms: Sequence["Alarms"]) -> list[str]:
    lines = ["| detector | stream | columns' windows | in alarm | expected by chance | one alarm in |", "|---|---|---|---|---|---|"]
    for one in alarms:
        run = f"at most {one.run_time:,.0f} rows" if one.alarms == one.windows else f"{one.run_time:,.0f} rows"
        lines.append(f"| `{one.detector}` | {one.stream} | {one.windows} | {one.alarms / one.windows:.2f} | {one.expected:.2f} | {run} |")
    return lines


def write(folder: Path, numbers: "Numbers", models: int, difference: float) -> None:
    """Write `monitoring.md` and `monitoring.svg` into `folder`; `models` is the size of the fleet."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, offsets = numbers.rows, numbers.offsets
    _plot(folder / "monitoring.svg", rows)
    parts = [
        HEAD.format(difference=difference, models=models),
        "![false findings and power](monitoring.svg)\n\n## What is promised and what was found (5,000 rows a window)\n",
        *_promises(rows),
        "\n## Nothing drifts: findings or alarms in 1,000 model-days\n",
        *_calm(rows),
        "\n## Planted shifts: power within 5 windows, median delay in windows\n",
        *_planted(rows),
        OFFSET,
        *_calm(offsets),
        "",
        *_planted(offsets),
        JOINT,
        *_joint(numbers.joint),
        ONLINE,
        *_online(numbers.online),
        NOTES,
    ]
    (folder / "monitoring.md").write_text("\n".join(parts) + "\n")
