"""`msc intercept`: messages that wait for the operator's eyes before they go anywhere."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from msc.cli.common import Exit, Json, fail, out, site_and_rest, site_and_words
from msc.cli.identity import AskingAs, Why
from msc.cli.message_queue import MESSAGES, All, Messages, To, show_message
from msc.cli.switching import Sites, Words, aged, look, numbers, order, say, say_each, show_rows, which

app = typer.Typer(help="Intercept messages by rule: look, edit, release, reroute, delete.", no_args_is_help=True)

_QUEUE: Final = "operator:intercept"
_RULES: Final = ("name", "criteria", "at", "by", "reason")

Several = Annotated[list[str] | None, typer.Option(show_default=False, help="May be given again; X* is a beginning.")]


@app.command("list")
def list_rules(arguments: Sites = None, operator: AskingAs = None, json: Json = False) -> None:
    """List the rules, and what waits because of them."""
    site, _ = site_and_rest(arguments or [], "nothing else", 0)
    answer = look(site, operator, "intercept_list")
    rules, held = answer["rules"], answer["held"]
    if json:
        show_rows([*({"rule": rule} for rule in rules), *({"message": row} for row in held)], (), json)
        return
    show_rows([{**rule, "criteria": _criteria(rule["criteria"])} for rule in rules], _RULES, json, "there is no rule")
    out.print()
    show_rows(aged(held), MESSAGES, json, "nothing waits")


@app.command("set")
def set_rule(
    arguments: Words,
    key: Several = None,
    function: Several = None,
    database: Several = None,
    system: Several = None,
    ori: Several = None,
    agency: Several = None,
    mnemonic: Several = None,
    destination: Several = None,
    field: Annotated[
        list[str] | None, typer.Option(metavar="CODE=VALUE", help="A field's value; may be given again.")
    ] = None,
    reason: Why = None,
    operator: AskingAs = None,
    json: Json = False,
) -> None:
    """Hold messages that match, until you release them; unsolicited ones where the rule names mnemonics alone."""
    site, (name,) = site_and_rest(arguments, "the rule's name", 1)
    given = {
        "keys": key, "functions": function, "databases": database, "systems": system, "oris": ori,
        "agencies": agency, "mnemonics": mnemonic, "destinations": destination,
    }  # fmt: skip
    criteria: dict[str, Any] = {about: values for about, values in given.items() if values}
    for each in field or ():
        code, equals, value = each.partition("=")
        if not equals:
            fail(f"--field: {each!r} is not CODE=VALUE", Exit.USAGE)
        criteria.setdefault("fields", {}).setdefault(code, []).append(value)
    if not criteria:
        fail("say what to hold: --key, --mnemonic, --destination …", Exit.USAGE)
    answer = order(site, operator, "intercept_set", {"name": name, "criteria": criteria}, reason)
    say(f"{name} in force: {_criteria(criteria)}", answer, json)


@app.command("clear")
def clear_rule(arguments: Words, reason: Why = None, operator: AskingAs = None, json: Json = False) -> None:
    """Hold no more messages by a rule; what waits goes on waiting until you release it."""
    site, (name,) = site_and_rest(arguments, "the rule's name", 1)
    answer = order(site, operator, "intercept_clear", {"name": name}, reason)
    say(f"{name} is no more; {answer['waiting']} still wait", answer, json)


@app.command()
def show(arguments: Words, reason: Why = None, operator: AskingAs = None, json: Json = False) -> None:
    """Show a message that waits. Needs a reason."""
    site, words = site_and_rest(arguments, "the message's MSN", 1)
    show_message(order(site, operator, "queue_show", {"msn": numbers(words)[0]}, reason), json)


@app.command()
def edit(
    arguments: Words,
    text: Annotated[str, typer.Option(help="The whole new text, from its message key on.")],
    reason: Why = None,
    operator: AskingAs = None,
    json: Json = False,
) -> None:
    """Give a message that waits another text; it gets a new MSN, and both stand in the journal."""
    site, words = site_and_rest(arguments, "the message's MSN", 1)
    answer = order(site, operator, "intercept_edit", {"msn": numbers(words)[0], "text": text}, reason)
    say(f"{words[0]} is {answer['msn']} now, and waits", answer, json)


@app.command()
def release(
    arguments: Messages = None,
    everything: All = False,
    reason: Why = None,
    operator: AskingAs = None,
    json: Json = False,
) -> None:
    """Let messages go where they would have gone. Exit code 1 if some may not."""
    site, words = site_and_words(arguments or [])
    say_each(order(site, operator, "intercept_release", which(words, everything), reason), "released", json)


@app.command()
def reroute(
    to: To,
    arguments: Messages = None,
    everything: All = False,
    reason: Why = None,
    operator: AskingAs = None,
    json: Json = False,
) -> None:
    """Let messages go somewhere else. Exit code 1 if some cannot."""
    site, words = site_and_words(arguments or [])
    asked = {"from": _QUEUE, "to": to, **which(words, everything)}
    say_each(order(site, operator, "queue_move", asked, reason), "rerouted", json)


@app.command()
def delete(
    arguments: Messages = None,
    everything: All = False,
    reason: Why = None,
    operator: AskingAs = None,
    json: Json = False,
) -> None:
    """Let messages go nowhere; their originators are told E401, with your reason."""
    site, words = site_and_words(arguments or [])
    asked = {"from": _QUEUE, **which(words, everything)}
    say_each(order(site, operator, "queue_delete", asked, reason), "deleted", json)


def _criteria(criteria: dict[str, Any]) -> str:
    """Write criteria for people: `keys IW.*; mnemonics A123, A124`."""
    flat = {**criteria, **criteria.get("fields", {})}
    flat.pop("fields", None)
    return "; ".join(f"{about} {', '.join(values)}" for about, values in flat.items())
