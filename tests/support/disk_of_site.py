"""The disk a site's journal stands on, as a test needs it: full, locked, read-only; by whatever this account may do.

The journal gets a folder of its own, so that nothing else of the site fails with it. Where file systems can be
mounted (as root), it is a real one of a few megabytes; else the kernel's limit on the size of a file stands in.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.site import Process, Site

_BYTES = 6 << 20
_HOLD = """
import sqlite3, sys
driver = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
driver.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


def can_mount(folder: Path) -> bool:
    """Tell whether this account may mount a file system there."""
    if os.geteuid():
        return False
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], capture_output=True, check=False).returncode:
        return False
    subprocess.run(["umount", str(folder)], check=True)
    return True


class JournalDisk:
    """The journal's own folder, `disk`.

    Args:
        site: Not started yet.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.folder = site.folder / "disk"
        self.folder.mkdir()
        site.edit("msc.toml", (r"data/journal\.db", "disk/journal.db"))
        self._mounted = False

    @property
    def main(self) -> Path:
        """The journal's main file."""
        return self.folder / "journal.db"

    def mount(self) -> None:
        """Put it on a small file system of its own."""
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_BYTES},mode=700", "tmpfs", str(self.folder)], check=True
        )
        self._mounted = True

    def unmount(self) -> None:
        """Take that away."""
        if self._mounted:
            self._mounted = False
            subprocess.run(["umount", "-l", str(self.folder)], check=True)

    @contextmanager
    def full(self, switch: Process) -> Iterator[None]:
        """Let nothing more be written."""
        if self._mounted:
            ballast = self.folder / "ballast"
            with ballast.open("wb") as file:
                try:
                    while True:
                        os.write(file.fileno(), bytes(4096))
                except OSError:
                    pass
            yield
            ballast.unlink()
            return
        _, most = resource.prlimit(switch.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(switch.pid, resource.RLIMIT_FSIZE, (1, most))
        yield
        resource.prlimit(switch.pid, resource.RLIMIT_FSIZE, (most, most))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock it from another process, as a program that copies databases does."""
        with subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(self.main)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            assert other.stdin is not None and other.stdout is not None
            assert other.stdout.readline() == b"locked\n"
            try:
                yield
            finally:
                other.stdin.close()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Let nobody who opens it from now on write to it."""
        if not os.geteuid():
            for options in (["--bind", str(self.folder)], ["-o", "remount,bind,ro"]):
                subprocess.run(["mount", *options, str(self.folder)], check=True)
            yield
            subprocess.run(["umount", "-l", str(self.folder)], check=True)
            return
        files = [self.folder, *self.folder.iterdir()]
        for file in files:
            file.chmod(file.stat().st_mode & ~0o222)
        yield
        for file in files:
            if file.exists():
                file.chmod(file.stat().st_mode | 0o200)
