"""How a journal of an earlier release becomes one of this release; see `msc.migration`.

A change of `msc.journal.schema` needs a new module here, and `HEAD` its number. The tests hold the two against
each other.
"""

from __future__ import annotations

from typing import Final

HEAD: Final = "0002"
"""The revision that `msc.journal.schema` is of; that of `msc.journal.database.schema` stands there."""
