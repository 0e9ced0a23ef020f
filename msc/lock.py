"""The lock of a site: one switch at a time writes its journal, or two would give out the same MSNs."""

from __future__ import annotations

import fcntl
import os
from io import FileIO
from pathlib import Path

from msc.errors import Fault, SiteError
from msc.settings import Settings


def lock_file(settings: Settings) -> Path:
    """Return the file whose lock a running switch holds."""
    return settings.data_folder / "journal.lock"


def lock_site(settings: Settings, problem: str = "another switch is running on this site") -> FileIO:
    """Take the lock of a site, which lasts until what this returns is closed, or the process ends.

    Args:
        problem: What to say where a switch is running.

    Raises:
        SiteError: A switch is running, or the file cannot be opened.
    """
    file = lock_file(settings)
    try:
        # 0600: whoever can open it can lock it, and keep the switch from starting.
        lock = FileIO(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
    except OSError as exc:
        raise SiteError([Fault(file, "", f"cannot be opened: {exc.strerror}")]) from exc
    owned_like_its_folder(lock.fileno(), file)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        lock.close()
        raise SiteError([Fault(file, "", problem)]) from exc
    return lock


def owned_like_its_folder(descriptor: int, file: Path) -> None:
    """Give a file that root has just made to whoever owns its folder: the switch could not open it otherwise."""
    if os.geteuid() == 0 and os.fstat(descriptor).st_uid == 0:
        owner = file.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
