"""A PostgreSQL server of the tests' own, from the programs that are installed on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.unit.io_fixtures import require

NOWHERE = "''"


def program(name: str) -> str | None:
    """Where a program of PostgreSQL is: Debian keeps the servers' off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@dataclass(frozen=True)
class PostgresServer:
    """A running server; `folder` holds its socket and its log."""

    folder: Path
    superuser: str
    port: int

    def run_sql(self, file: Path, environment: Mapping[str, str]) -> None:
        """Run a file as the superuser on the socket, as the image of PostgreSQL does at first."""
        words = ["--set=ON_ERROR_STOP=1", "--no-psqlrc", "--quiet", f"--host={self.folder}"]
        words += [f"--port={self.port}", f"--username={self.superuser}", "--dbname=postgres"]
        subprocess.run(
            [str(program("psql")), *words],
            input=file.read_bytes(),
            env={**os.environ, **environment},
            check=True,
        )


@contextmanager
def postgres_server(
    password: str, superuser: str = "icp", address: str = NOWHERE, port: int = 5432
) -> Iterator[PostgresServer]:
    """A server on a socket in a temporary folder, and at an address where one is named.

    It asks for a password everywhere but on the socket of a server that has an address: there it
    trusts, as the image of PostgreSQL does.
    """
    require("PostgreSQL's server (initdb, pg_ctl)", program("initdb") and program("pg_ctl"))
    as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    # Not below pytest's folder: a socket's path is short, and the server's user must reach it.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    try:
        (folder / "password").write_text(password)
        if as_postgres:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")

        def run(name: str, *words: str) -> None:
            command = [*as_postgres, str(program(name)), "-D", str(folder / "data"), *words]
            subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)

        run(
            "initdb",
            *("-U", superuser, "--no-sync", "--encoding=UTF8", "--locale=C"),
            *(
                f"--auth-local={'scram-sha-256' if address == NOWHERE else 'trust'}",
                "--auth-host=scram-sha-256",
            ),
            f"--pwfile={folder / 'password'}",
        )
        options = (
            f"-c listen_addresses={address} -c port={port} "
            f"-c unix_socket_directories={folder} -c fsync=off"
        )
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield PostgresServer(folder, superuser, port)
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
