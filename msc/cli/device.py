"""`msc device`: the rows of the directory (`msc.cli.rows`), and what an operator does with a device at work."""

from __future__ import annotations

from typing import Final

from msc.cli.common import Json, site_and_rest, site_and_words
from msc.cli.identity import AskingAs, Why
from msc.cli.rows import apps
from msc.cli.switching import OptionalWords, Words, aged, look, order, say, show_rows

app = apps["device"]

_COLUMNS: Final = (
    "device", "kind", "agency", "state", "since", "people", "waiting", "oldest", "unacknowledged", "alternate", "why",
)  # fmt: skip


@app.command()
def status(arguments: OptionalWords = None, operator: AskingAs = None, json: Json = False) -> None:
    """Show which devices are there, who is signed on, and what waits for them."""
    site, words = site_and_words(arguments or [])
    found = look(site, operator, "device_status", {"device": words[0] if words else None})["devices"]
    show_rows(found if json else aged(found), _COLUMNS, json, "there is no device")


@app.command()
def hold(arguments: Words, reason: Why = None, operator: AskingAs = None, json: Json = False) -> None:
    """Deliver nothing more to a device until it is released."""
    _order("device_hold", "held", arguments, reason, operator, json)


@app.command()
def release(arguments: Words, reason: Why = None, operator: AskingAs = None, json: Json = False) -> None:
    """Deliver to a device again, beginning with what waits."""
    _order("device_release", "released", arguments, reason, operator, json)


@app.command()
def restart(arguments: Words, reason: Why = None, operator: AskingAs = None, json: Json = False) -> None:
    """End a device's connections; it connects anew by itself, and nothing that waits is lost."""
    _order("device_restart", "disconnected", arguments, reason, operator, json)


def _order(verb: str, done: str, arguments: list[str], reason: str | None, operator: str | None, json: bool) -> None:
    site, (device,) = site_and_rest(arguments, "the device's name", 1)
    answer = order(site, operator, verb, {"device": device}, reason)
    say(f"{device} {done}", answer, json)
