"""Questions to the journal on the command line: who asks and why, what is looked for, and who answers.

Every command that looks into the journal takes the same options for both; `question` adds them. The running switch
answers; with `--offline`, and an administrator's key, this process does (`msc.control.break_glass`).
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from msc.cli.common import Exit as ExitCode
from msc.cli.common import fail, moment
from msc.cli.identity import AskingAs, CertificateFile, KeyFile, Why, asked_of_switch, operator_key, reason_given
from msc.errors import MSCError
from msc.settings import Settings

Since = Annotated[str | None, typer.Option(help="From this time on (UTC): 2026-01-31, yesterday, '2 days ago'.")]
Until = Annotated[str | None, typer.Option(help="Before this time (UTC).")]
_WORDS = "A word it holds: a plate, VIN, name, number; one that ends in * is a beginning. May be given again."

_FILTERS: Final[dict[str, Any]] = {
    "since": Since,
    "until": Until,
    "msn": Annotated[int | None, typer.Option(help="Message sequence number.")],
    "transaction": Annotated[int | None, typer.Option(help="MSN of the inquiry it belongs to.")],
    "user": Annotated[str | None, typer.Option(help="User id.")],
    "agency": Annotated[str | None, typer.Option(help="Agency.")],
    "ori": Annotated[str | None, typer.Option(help="ORI.")],
    "mnemonic": Annotated[str | None, typer.Option(help="Terminal mnemonic.")],
    "device": Annotated[str | None, typer.Option(help="Station it came from or went to.")],
    "line": Annotated[str | None, typer.Option(help="Line it came from or went to.")],
    "key": Annotated[str | None, typer.Option(help="Message key: QW or IW.QW.")],
    "database": Annotated[str | None, typer.Option(help="Database it asks.")],
    "kind": Annotated[str | None, typer.Option(help="inquiry, entry, response, status, unsolicited ...")],
    "direction": Annotated[str | None, typer.Option(help="outbound, inbound or local.")],
    "header": Annotated[str | None, typer.Option(help="Supplemental header.")],
    "outcome": Annotated[
        str | None, typer.Option(help="An event of its life: answered, expired, refused ...; or open.")
    ],
    "code": Annotated[str | None, typer.Option(help="Code it was refused with or reports.")],
    "requester": Annotated[str | None, typer.Option(help="Requester (criminal history).")],
    "session": Annotated[str | None, typer.Option(help="The operator's session.")],
    "text": Annotated[list[str] | None, typer.Option(help=_WORDS)],
}
AUDIT_FILTERS: Final[dict[str, Any]] = {
    "since": Since,
    "until": Until,
    "event": Annotated[str | None, typer.Option(help="Event, or its beginning: sign_on.refused, sign_on.")],
    "user": Annotated[str | None, typer.Option(help="Who acted.")],
    "device": Annotated[str | None, typer.Option(help="On which device.")],
    "mnemonic": Annotated[str | None, typer.Option(help="With which mnemonic.")],
    "agency": Annotated[str | None, typer.Option(help="Of which agency's people and devices.")],
    "subject": Annotated[str | None, typer.Option(help="What was acted upon: 'user J40217', or J40217.")],
    "session": Annotated[str | None, typer.Option(help="In which session.")],
    "source": Annotated[str | None, typer.Option(help="From which address.")],
    "code": Annotated[str | None, typer.Option(help="Code it was refused with.")],
    "refused": Annotated[bool, typer.Option("--refused", help="Only what was refused.")],
    "text": Annotated[list[str] | None, typer.Option(help="A word in detail or reason; may be given again.")],
}
_ASKING: Final[dict[str, Any]] = {
    "name": AskingAs,
    "reason": Why,
    "certificate": CertificateFile,
    "key_file": KeyFile,
    "offline": Annotated[
        bool, typer.Option("--offline", help="While no switch runs: read here, with an administrator's key.")
    ],
}
_FLAGS: Final = frozenset({"refused", "offline"})


@dataclass(slots=True)
class Question:
    """Who asks, why, and what for.

    Attributes:
        criteria: As the switch takes them.
        end: What came with the last answer: how complete it was, where to go on.
    """

    name: str | None
    reason: str | None
    certificate: Path | None
    key_file: Path | None
    offline: bool
    criteria: dict[str, Any]
    end: dict[str, Any]

    @property
    def role(self) -> str:
        """The asker's role, as whoever answered knows it; known from the first line of a print on."""
        return str(self.end.get("role", "administrator" if self.offline else ""))

    async def ask(self, settings: Settings, verb: str, content: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Ask; yields `{"item"}` and `{"progress"}`, and keeps the `end`. Fails where there is no answer."""
        # Traffic comes first, wherever there is not enough processor for both.
        os.nice(10)
        operator = operator_key(settings, self.name, self.certificate, self.key_file)
        why = reason_given(self.reason)
        answers = (
            _offline(settings, operator, verb, content, why)
            if self.offline
            else asked_of_switch(settings, operator, f"/journal/{verb}", {"reason": why, **content})
        )
        async with aclosing(answers):
            async for line in answers:
                if "end" in line:
                    self.end = {**self.end, **line["end"]}
                    continue
                if "role" in line.get("progress", ()):
                    self.end["role"] = line["progress"]["role"]
                yield line


async def _offline(
    settings: Settings, operator: Any, verb: str, content: dict[str, Any], why: str
) -> AsyncGenerator[dict[str, Any], None]:
    # Imported here: what searches is the switch's, and takes its time to import.
    from msc.control.break_glass import break_glass
    from msc.journal.answers import Answers

    try:
        async with break_glass(settings, operator, verb, content, why) as glass:
            public_key = str(settings.path(settings.journal.public_key))
            answers = Answers(settings.database_url(settings.journal), public_key)
            try:
                async for line in answers.answer(verb, glass.asked):
                    glass.results += "item" in line
                    glass.complete = bool(line.get("end", {}).get("complete"))
                    yield line
            finally:
                await answers.close()
    except MSCError as exc:
        fail(str(exc), ExitCode.REFUSED)


def question(filters: dict[str, Any] | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a question, and what they say as its member `question`.

    Args:
        filters: What can be looked for; those for messages, if left out. Without any: an empty dictionary.
    """
    offered = _FILTERS if filters is None else filters

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        added = {**offered, **_ASKING}
        parameters = [parameter for name, parameter in own.items() if name != "question"]
        parameters += [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=name not in _FLAGS and None, annotation=annotation
            )
            for name, annotation in added.items()
        ]

        @wraps(command)
        def asked(**given: Any) -> None:
            criteria = {name: given.pop(name) for name in offered}
            who = {name: given.pop(name) for name in _ASKING}
            command(**given, question=Question(**who, criteria=_criteria(criteria), end={}))

        asked.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        asked.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return asked

    return decorate


def _criteria(given: dict[str, Any]) -> dict[str, Any]:
    criteria = {name: value for name, value in given.items() if value}
    for option in ("since", "until"):
        if option in criteria:
            criteria[f"{option}_us"] = moment(criteria.pop(option), f"--{option}")
    return criteria
