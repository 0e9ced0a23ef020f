"""Messages of the demo site, as an operator types them, and what comes of them.

They are sent from a static terminal by a full-access user of the sheriff (ORI CA0990000); the `device` and
`user` of each say which.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXAMPLES: Final[tuple[Mapping[str, str], ...]] = ()
