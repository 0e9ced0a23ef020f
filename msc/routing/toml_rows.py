"""Reading large TOML files of rows without holding up whoever shares the interpreter.

Twenty thousand routes take the standard library's parser a second. tomli is the same parser, compiled: a quarter of
it, but it lets nobody else run until it is done. So a file is cut where a row begins, and parsed some hundred rows at
a time; whoever calls this in a thread of its own lets the event loop go on in between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import tomli
from pydantic import BaseModel, ValidationError

from msc.errors import Fault, FaultyInput
from msc.limits import ROUTING_FILE_BYTES_MAX

Row = TypeVar("Row", bound=BaseModel)

_PART_CHARS: Final = 16_384
"""A millisecond or two of parsing."""
_HEAD: Final = re.compile(r"^\[\[[A-Za-z_]+\]\][ \t]*(?:#.*)?$", re.MULTILINE)
_LINE_NUMBER: Final = re.compile(r"at line (\d+)")


def read_rows(file: Path, table: str, model: type[Row], refused: type[FaultyInput]) -> Iterator[Row]:
    """Read a file that holds the rows of one table, `[[table]]`, and nothing else.

    Yields:
        Each row, as it is read: nobody has to hold them all.

    Raises:
        FaultyInput: Of the type given, with every fault found; at the end, if the file can be read at all.
    """
    faults: list[Fault] = []
    for number, content in enumerate(_parse(file, table, refused)):
        # One by one: what looks at all of them in one call holds the interpreter for as long.
        try:
            row = model.model_validate(content)
        except ValidationError as exc:
            for error in exc.errors(include_url=False, include_input=False):
                where = ".".join(map(str, (table, number, *error["loc"])))
                faults.append(Fault(file, where, error["msg"]))
            continue
        yield row
    if faults:
        raise refused(faults)


def _parse(file: Path, table: str, refused: type[FaultyInput]) -> Iterator[Any]:
    try:
        if file.stat().st_size > ROUTING_FILE_BYTES_MAX:
            raise refused([Fault(file, "", f"is larger than {ROUTING_FILE_BYTES_MAX} bytes")])
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise refused([Fault(file, "", f"cannot be read: {exc}")]) from exc
    for line, part in _parts(text):
        try:
            content = tomli.loads(part)
        except (tomli.TOMLDecodeError, RecursionError) as exc:
            raise refused([Fault(file, "", f"is not TOML: {_moved(str(exc), line)}")]) from exc
        rows = content.pop(table, [])
        if not isinstance(rows, list):
            raise refused([Fault(file, table, f"must be rows: [[{table}]]")])
        if content:
            raise refused([Fault(file, next(iter(content)), f"there is only [[{table}]] here")])
        yield from rows


def _moved(problem: str, lines: int) -> str:
    """Add the lines that stand before a part to those a parser names."""
    return _LINE_NUMBER.sub(lambda at: f"at line {int(at[1]) + lines}", problem)


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Cut a file before some of the lines `[[table]]`.

    A string of several lines could hold such a line; a file with one is parsed in one piece.

    Yields:
        How many lines stand before a part, and the part.
    """
    if '"""' in text or "'''" in text:
        yield 0, text
        return
    start = line = 0
    while start < len(text):
        head = _HEAD.search(text, start + _PART_CHARS)
        end = head.start() if head is not None else len(text)
        part = text[start:end]
        yield line, part
        start, line = end, line + part.count("\n")
