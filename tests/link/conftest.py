"""Certificates for tests of connections."""

from __future__ import annotations

from tests.support.authority import authority, certificates

__all__ = ["authority", "certificates"]
