"""What the misuse watch saw, on its way to who reviews it: audited at once, on the review list a moment later."""

from __future__ import annotations

import asyncio
from collections import deque

from msc.access.misuse import Asked, MisuseWatch
from msc.audit import Audit, AuditEvent
from msc.directory.store import DirectoryStore, DirectoryUnavailable
from msc.limits import MISUSE_FLAGS_WAITING_MAX
from msc.log import get_logger

log = get_logger("acp")


class MisuseReview:
    """Lets the watch look at what was accepted, and keeps its flags until they are written."""

    def __init__(self, watch: MisuseWatch, store: DirectoryStore, audit: Audit) -> None:
        self._watch = watch
        self._store = store
        self._audit = audit
        self._asked: list[Asked] = []
        self._flags: deque[tuple[int, int, str, str, str]] = deque(maxlen=MISUSE_FLAGS_WAITING_MAX)

    def take(self, asked: Asked) -> None:
        """Look at a message in the next turn of the loop, when this turn's acknowledgements have left."""
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._look)
        self._asked.append(asked)

    def _look(self) -> None:
        messages, self._asked = self._asked, []
        for asked in messages:
            try:
                self.look(asked)
            except Exception:
                # We are wrong; the message is on its way all the same.
                log.exception("misuse.fault", msn=asked.msn)

    def look(self, asked: Asked) -> None:
        """Audit what a message shows, and put it on the review list."""
        session = asked.session
        for pattern in self._watch.look(asked):
            self._audit(
                AuditEvent(
                    asked.at_us, "misuse.flagged", device=session.device, user=session.user,
                    mnemonic=session.mnemonic, session=session.session or None, subject=f"MSN {asked.msn}",
                    detail=pattern.value,
                )
            )  # fmt: skip
            self._flags.append((asked.at_us, asked.msn, session.user, session.agency, pattern.value))

    def refresh(self) -> None:
        """Take up that users of the directory have changed."""
        self._watch.refresh()

    async def write(self) -> None:
        """Write the flags that wait.

        Raises:
            DirectoryUnavailable: They cannot be written; they go on waiting, and the oldest go first if there are
                too many. The audit stream has them all.
        """
        if not self._flags:
            return
        flags = list(self._flags)
        self._flags.clear()
        try:
            await self._store.flag_misuse(flags)
        except DirectoryUnavailable:
            self._flags = deque([*flags, *self._flags], MISUSE_FLAGS_WAITING_MAX)
            raise
