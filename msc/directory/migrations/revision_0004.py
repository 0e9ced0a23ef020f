"""The directory as `msc.directory.schema` has it; new ones are made from there.

Directories of earlier forms are refused, and nothing of them is touched: they bear an earlier revision, or none.
"""

from __future__ import annotations

from msc.migration import UnknownRevision

revision = "0004"
down_revision = None


def upgrade() -> None:
    """Refuse a database that does not say what it is of.

    Raises:
        UnknownRevision: Always.
    """
    raise UnknownRevision(
        "it is of release 0.1, which this release cannot read; enter the directory anew from its files"
    )
