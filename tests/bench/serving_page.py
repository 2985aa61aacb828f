"""The serving bench's page: docs/benchmarks/serving.md and its plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.bench.serving import Cell, Cost

HEAD = """# Serving: how fast

`make bench-serving` writes this page and `build/bench/serving.json`. One model (XGBoost, 30 numbers, 200 trees of depth 6), one process
a server, all on one machine in one session, runs alternating between the servers; figures are medians over the rounds. The load is a
closed loop on keep-alive connections, a process of its own on the same machine; it, and the sink that takes captured events, keep to one of
the processors, and a server may run on all. Ratios mean something; absolute figures are this machine's, and of a busy one's latencies the
far quantiles are the machine's own. CPU is the server's time on a processor, a request, with its children's: it hardly depends on what else
runs.

| server | what it is | what it is sent |
|---|---|---|
| trimtab | the predictor, as it is installed | V2, thirty named tensors: the most JSON of all |
| trimtab, capture | the same, each request and answer sent on as CloudEvents | the same |
| trimtab, V1 | the predictor, as it is installed | V1, one object a row |
| trimtab, native booster | the predictor, trees walked by XGBoost | V2, thirty named tensors |
| kserve-named | KServe's `Model` and `ModelServer`, `predict` as in KServe's XGBoost server | V2, thirty named tensors |
| kserve-v1, kserve-v2 | the same | V1, a list of lists; V2, one tensor |
| fastapi | FastAPI on uvicorn (uvloop, httptools), `inplace_predict` | a list of lists |
| mlflow | `mlflow models serve`, one worker | `inputs`, a list of lists |
| mlserver | MLServer with its XGBoost runtime, `parallel_workers=0` | V2, one tensor |

"""


def _table(cells: Sequence["Cell"]) -> list[str]:
    lines = [
        "| rows | connections | server | requests/s | p50 ms | p99 ms | p999 ms | CPU us | RSS MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {cell.rows} | {cell.connections} | {cell.server} | {cell.rps:,.0f} | {cell.p50_ms:.2f} | {cell.p99_ms:.2f} "
        f"| {cell.p999_ms:.2f} | {cell.cpu_us:,.0f} | {cell.rss_mb:.0f} |"
        for cell in cells
    ]


def _ratios(cells: Sequence["Cell"]) -> list[str]:
    """Trimtab against stock KServe: asked the same, and each asked what costs it least."""
    pairs = [("the same V2 request", ["trimtab"], ["kserve-named"])]
    pairs += [("what costs each least", ["trimtab", "trimtab, V1"], ["kserve-named", "kserve-v1", "kserve-v2"])]
    head = "| rows | connections | asked | requests/s, times KServe's | p99, of KServe's | CPU, of KServe's |"
    lines = [head, "|---|---|---|---|---|---|"]
    for rows, connections in dict.fromkeys((cell.rows, cell.connections) for cell in cells):
        here = [cell for cell in cells if (cell.rows, cell.connections) == (rows, connections)]
        for asked, *sides in pairs:
            ours, stock = ([cell for cell in here if cell.server in side] for side in sides)
            rps = max(cell.rps for cell in ours) / max(cell.rps for cell in stock)
            p99 = min(cell.p99_ms for cell in ours) / min(cell.p99_ms for cell in stock)
            cpu = min(cell.cpu_us for cell in ours) / min(cell.cpu_us for cell in stock)
            lines.append(f"| {rows} | {connections} | {asked} | {rps:.1f} | {p99:.2f} | {cpu:.2f} |")
    return lines


def _plot(path: Path, cells: Sequence["Cell"]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "trimtab"
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(cell.server for cell in cells))
    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for axis, (figure_name, title) in zip(axes, (("rps", "requests/s, 8 connections"), ("p99_ms", "p99 ms, 8 connections")), strict=True):
        for name in names:
            mine = [cell for cell in cells if cell.server == name and cell.connections == 8]
            axis.plot([cell.rows for cell in mine], [getattr(cell, figure_name) for cell in mine], marker="o", label=name)
        axis.set(title=title, xlabel="rows a request", xscale="log", yscale="log", xticks=[1, 32, 512], xticklabels=["1", "32", "512"])
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def write(folder: Path, cells: Sequence["Cell"], costs: Sequence["Cost"], bare: dict[str, float]) -> None:
    """Write `serving.md` and `serving.svg` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    _plot(folder / "serving.svg", cells)
    load = f"The load alone, against a bare socket server: {bare['rps']:,.0f} requests/s at 8 connections, p99 {bare['p99_ms']:.2f} ms."
    capture = [
        f"- {cost.median:+.1%} of {cost.of}, 95% interval [{cost.low:+.1%}, {cost.high:+.1%}] of the median over {cost.pairs} pairs"
        for cost in costs
    ]
    parts = [
        HEAD + "![requests/s and p99](serving.svg)\n\n## Against stock KServe\n",
        *_ratios(cells),
        "\n## What capture costs\n",
        "At 1 row and 8 connections, sent to a sink on the same machine, so that all four processes share its processors:",
        *capture,
        f"\n## All figures\n\n{load}\n",
        *_table(cells),
    ]
    (folder / "serving.md").write_text("\n".join(parts) + "\n")
