"""The files MSC comes with: catalog, routes and certificate profile, which a new site gets copies of."""

from __future__ import annotations

from pathlib import Path

import msc

_PACKAGE = Path(msc.__file__).parent


def _root() -> Path:
    """A wheel carries the files inside the package; a checkout has them beside it."""
    packed = _PACKAGE / "_shipped"
    return packed if packed.is_dir() else _PACKAGE.parent


def shipped_config() -> Path:
    """Return the folder of the shipped catalog and routes."""
    return _root() / "config"


def shipped_profile() -> Path:
    """Return the shipped certificate profile."""
    return _root() / "certs" / "profile.toml"
