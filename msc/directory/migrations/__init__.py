"""How a directory of an earlier release becomes one of this release; see `msc.migration`.

A change of a row's dataclass or of `msc.directory.schema` needs a new module here, and `HEAD` its number. The tests
hold the two against each other.
"""

from __future__ import annotations

from typing import Final

HEAD: Final = "0004"
"""The revision that `msc.directory.schema` is of."""
