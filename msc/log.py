"""Structured logging: events in dotted past tense, one id (`transaction`) through a transaction.

Never message text, names, plates or secrets: those stand in the journal alone (CJI does not reach logs).
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any, TextIO, cast

import structlog

from msc.settings import LogFormat, LogLevel


class _StandardError:
    """Standard error, where it can be written: a log on a full disk keeps no message from its answer."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def configure(level: LogLevel = "info", format: LogFormat = "json") -> None:
    """Send log events to standard error, as JSON lines or for people."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _StandardError())),
        cache_logger_on_first_use=True,
    )


def get_logger(room: str) -> Any:
    """Return the logger of a room; it takes effect as configured at its first use."""
    return structlog.get_logger(room=room)
