"""A PostgreSQL of these tests' own, behind a Unix socket in a folder; or the reason why there is none."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import sqlalchemy as sa

numbers = count()


def programs() -> Path | None:
    """The folder of initdb and postgres: on the PATH, or where Debian keeps them."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((place for place in reversed(places) if (place / "initdb").exists()), None)


@contextmanager
def server(bin_folder: Path, *, fsync: bool = False) -> Iterator[str]:
    """A running server's URL; root may not run one, so that nobody does. Without `fsync` it does not wait for the disk."""
    user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="trimtab-pg-"))
    try:
        shutil.chown(folder, user)
        options = {"user": user, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
        prepared = [str(bin_folder / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", "trimtab", "-E", "UTF8", "--no-sync"]
        subprocess.run(prepared, check=True, **options)  # type: ignore[call-overload]
        settings = ["-c", "listen_addresses=", "-c", f"fsync={'on' if fsync else 'off'}", "-c", f"shared_buffers={128 if fsync else 16}MB"]
        process = subprocess.Popen([str(bin_folder / "postgres"), "-D", str(folder / "data"), "-k", str(folder), *settings], **options)  # type: ignore[call-overload]
        try:
            url = f"postgresql://trimtab@/postgres?host={folder}"
            _wait(url)
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    finally:
        shutil.rmtree(folder)


def _wait(url: str) -> None:
    engine = sa.create_engine(url.replace("postgresql", "postgresql+psycopg", 1))
    deadline = time.monotonic() + 60
    while True:
        try:
            engine.connect().close()
            return engine.dispose()
        except sa.exc.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def database(url: str) -> str:
    """The URL of a new, empty database."""
    name = f"monitor{next(numbers)}"
    engine = sa.create_engine(url.replace("postgresql", "postgresql+psycopg", 1), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} STRATEGY FILE_COPY")
    engine.dispose()
    return url.replace("/postgres?", f"/{name}?")
