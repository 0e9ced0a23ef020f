"""`msc queue`: what waits, and what an operator does with it.

Queues have addresses: `line:NAME`, `device:NAME`, `user:ID`, `operator:queue`, `operator:intercept`.
"""

from __future__ import annotations

import json as jsonlib
from typing import Annotated, Any, Final

import typer

from msc.cli.common import Exit, Json, cells, fail, out, site_and_rest, site_and_words
from msc.cli.identity import AskingAs, Why
from msc.cli.switching import (
    OptionalWords,
    Words,
    aged,
    look,
    numbers,
    order,
    say,
    say_each,
    show_facts,
    show_rows,
    which,
)

app = typer.Typer(
    help="What waits for lines, devices, people and the operator: look, move, copy, delete, reprioritise, requeue.",
    no_args_is_help=True,
)

_QUEUES: Final = ("address", "waiting", "oldest", "unacknowledged", "why")
MESSAGES: Final = (
    "msn",
    "state",
    "priority",
    "kind",
    "source",
    "meant_for",
    "waits",
    "attempts",
    "duplicate",
    "why",
)
"""Columns of messages that wait."""

Queue = Annotated[str, typer.Option(metavar="ADDRESS", help="The queue: line:X, device:X, user:X, operator:queue.")]
From = Annotated[str, typer.Option("--from", metavar="ADDRESS", help="Where they wait.")]
To = Annotated[str, typer.Option("--to", metavar="ADDRESS", help="Where they go: line:X, device:X, user:X.")]
Messages = Annotated[list[str] | None, typer.Argument(metavar="[SITE] [MSN...]", help="The messages, or --all.")]
All = Annotated[bool, typer.Option("--all", help="All that wait there and are not on their way.")]


@app.command("list")
def list_queue(arguments: OptionalWords = None, operator: AskingAs = None, json: Json = False) -> None:
    """List the queues in which something waits; of one, the messages, in the order they go."""
    site, words = site_and_words(arguments or [])
    answer = look(site, operator, "queue_list", {"address": words[0] if words else None})
    found = answer["messages" if words else "queues"]
    show_rows(found if json else aged(found), MESSAGES if words else _QUEUES, json, "nothing waits")


@app.command()
def show(arguments: Words, reason: Why = None, operator: AskingAs = None, json: Json = False) -> None:
    """Show a message that waits: what it says, who sent it, its life so far. Needs a reason."""
    site, words = site_and_rest(arguments, "the message's MSN", 1)
    show_message(order(site, operator, "queue_show", {"msn": numbers(words)[0]}, reason), json)


def show_message(answer: dict[str, Any], json: bool) -> None:
    """Print a message that waits."""
    if json:
        print(jsonlib.dumps(answer))
        return
    message = answer["message"]
    text, events = message.pop("text"), message.pop("events")
    show_facts(
        {"waits_at": answer["waits_at"], **{name: value for name, value in message.items() if value is not None}},
        json,
    )
    out.print()
    # Each line alone: what a peer sent is not an order to the terminal, but its lines are lines.
    for line in text.splitlines():
        out.print(cells(f"  {line}")[0])
    out.print()
    show_rows(events, ("at", "event", "destination", "detail", "osn"), json)


@app.command()
def move(
    arguments: Messages = None,
    *,
    source: From,
    to: To,
    everything: All = False,
    reason: Why = None,
    operator: AskingAs = None,
    json: Json = False,
) -> None:
    """Move messages to another queue. Exit code 1 if some could not be moved."""
    site, words = site_and_words(arguments or [])
    asked = {"from": source, "to": to, **which(words, everything)}
    say_each(order(site, operator, "queue_move", asked, reason), "moved", json)


@app.command()
def copy(arguments: Words, to: To, reason: Why = None, operator: AskingAs = None, json: Json = False) -> None:
    """Send a copy of a message that waits somewhere to another address, too."""
    site, words = site_and_rest(arguments, "the message's MSN", 1)
    answer = order(site, operator, "queue_copy", {"msn": numbers(words)[0], "to": to}, reason)
    say(f"{words[0]} copied to {to}", answer, json)


@app.command()
def delete(
    arguments: Messages = None,
    *,
    source: From,
    everything: All = False,
    reason: Why = None,
    operator: AskingAs = None,
    json: Json = False,
) -> None:
    """Take messages out of a queue; who waits for an answer is told E401. Exit code 1 if some stay."""
    site, words = site_and_words(arguments or [])
    asked = {"from": source, **which(words, everything)}
    say_each(order(site, operator, "queue_delete", asked, reason), "deleted", json)


@app.command()
def reprioritise(
    arguments: Words,
    at: Queue,
    to: Annotated[
        str, typer.Option("--to", metavar="CLASS", help="urgent, status, response, administrative or broadcast.")
    ],
    reason: Why = None,
    operator: AskingAs = None,
    json: Json = False,
) -> None:
    """Put a message into another class of its queue, behind what is there."""
    site, words = site_and_rest(arguments, "the message's MSN", 1)
    asked = {"at": at, "msn": numbers(words)[0], "to": to}
    answer = order(site, operator, "queue_reprioritise", asked, reason)
    say(f"{words[0]} at {at} is {to} now; it was {answer['was']}", answer, json)


@app.command()
def requeue(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[SITE] [MSN]", help="The message; or say --isn or --osn.")
    ] = None,
    isn: Annotated[int | None, typer.Option(help="By the number of its source: with --from.")] = None,
    osn: Annotated[int | None, typer.Option(help="By the number of its destination: with --to.")] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="ADDRESS", help="Its source: device:X or line:X.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="ADDRESS", help="Where it goes; else where it went.")
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM-DD", help="The day (UTC) of an ISN or OSN; the last week if left out."),
    ] = None,
    send_again: Annotated[
        bool, typer.Option("--yes-send-again", help="Also if it is an update, that may have been made.")
    ] = False,
    reason: Why = None,
    operator: AskingAs = None,
    json: Json = False,
) -> None:
    """Queue a message of the journal once more, marked as a possible duplicate."""
    site, words = site_and_words(arguments or [])
    if len(words) > 1:
        fail("one message at a time", Exit.USAGE)
    asked = {
        "msn": numbers(words)[0] if words else None, "isn": isn, "osn": osn, "from": source, "to": to, "date": date,
        "send_again": True if send_again else None,
    }  # fmt: skip
    answer = order(site, operator, "queue_requeue", asked, reason)
    say(f"{answer['msn']} queued again at {', '.join(answer['queued'])}", answer, json)
