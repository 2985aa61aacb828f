"""The rows of a file as they would have come: each known at its time, its label `labelDelay` later, and never before."""

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from trimtab.errors import InvalidInput
from trimtab.monitoring.columns import Floats, is_missing
from trimtab.platforms.local.rows import plain
from trimtab.spec import Data
from trimtab.training.ingest import check_columns, read
from trimtab.training.score import unlabelled
from trimtab.units import duration

if TYPE_CHECKING:
    import pyarrow as pa


class History:
    """All rows in the order of time, with their labels apart; what a caller could not know when it asks is in no instance."""

    def __init__(self, data: Data, table: "pa.Table", left_out: int = 0) -> None:
        """`table` holds every column of the file; so many rows of it have no readable time or no key and are `left_out`."""
        import pyarrow as pa

        self.data, self.table, self.left_out = data, table, left_out
        moments = table.column(str(data.time)).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        self.times: Floats = np.asarray(moments.to_numpy() / 1e6, dtype=float)
        self.keys: list[str] = [str(key) for key in table.column(str(data.key)).to_pylist()]
        self.labels: list[Any] = [None if is_missing(label) else plain(label) for label in table.column(data.label).to_pylist()]
        self.delay = duration(data.label_delay).total_seconds()

    def __len__(self) -> int:
        return len(self.times)

    @cached_property
    def instances(self) -> list[msgspec.Raw]:
        """Each row as a caller sends it, as JSON."""
        hidden = {self.data.label, *self.data.exclude}
        names = [name for name in self.table.column_names if name not in hidden]
        columns = [[plain(value) for value in self.table.column(name).to_pylist()] for name in names]
        return [msgspec.Raw(msgspec.json.encode(dict(zip(names, values, strict=True)))) for values in zip(*columns, strict=True)]

    def after(self, seconds: float) -> int:
        """The place of the first row later than this."""
        return int(np.searchsorted(self.times, seconds, side="right"))

    def known(self, seconds: float) -> int:
        """How many rows' labels are known then."""
        return self.after(seconds - self.delay)


def read_history(data: Data) -> History:
    """The rows behind `data.uri`. Raises InvalidInput where a life cannot be played from them."""
    if data.time is None or data.key is None:
        msg = "a backtest needs spec.data.time (the rows' order) and spec.data.key (what their labels are joined by)"
        raise InvalidInput(msg)
    table, left_out = read(msgspec.structs.replace(unlabelled(data), history=None), None)
    check_columns(data, table.column_names)
    if table.num_rows == 0:
        msg = f"data.uri {data.uri!r}: no row has both a {data.time!r} and a {data.key!r}"
        raise InvalidInput(msg)
    repeated = table.num_rows - len(table.column(data.key).unique())
    if repeated:
        msg = f"data.key: {repeated} rows repeat another row's {data.key!r}; labels could not be told apart"
        raise InvalidInput(msg)
    return History(data, table, left_out)


def moment(seconds: float) -> datetime:
    """Seconds since 1970 as a datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
