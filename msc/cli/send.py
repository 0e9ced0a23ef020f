"""`msc send`: one message from a terminal, as an operator would send it."""

from __future__ import annotations

import asyncio
import getpass
import json as jsonlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from msc import clock, tls
from msc.cli.common import Exit, Json, err, fail, out, run, site_and
from msc.directory.credential import OTP_STEP_S, present_otp
from msc.errors import Overloaded, Refusal, SecondFactorFailed
from msc.limits import RECEIPTS_REST_S
from msc.link.client import Client, Delivered, Disconnected, RefusedByPeer
from msc.protocol.catalog import Catalog, Function, load_catalog
from msc.protocol.control import Receipt, Receipts, ReceiptsReport, SignedOn
from msc.settings import Settings, load_settings

_MORE_S = 0.4
"""How long to listen for further answers once every destination has given one."""
_RECEIPTS_PATIENCE_S = 30.0
"""How long a switch that has much to look up may say that it has no time for it."""
_RECEIPTS_S = 2.0
"""How long a message may be on its way to stations before its receipts are printed as they are."""


def send(
    arguments: Annotated[list[str], typer.Argument(metavar="[SITE] TEXT", help="The site's msc.toml, the message.")],
    device: Annotated[str, typer.Option(help="The terminal to send from; its certificate is the site's.")],
    user: Annotated[str, typer.Option(help="The user to sign on.")],
    password: Annotated[
        str | None,
        typer.Option(envvar="MSC_PASSWORD", help="Their password; a demo site knows it, else it is asked for."),
    ] = None,
    otp: Annotated[str | None, typer.Option(help="Their one-time code, where they need one.")] = None,
    new_password: Annotated[
        str | None,
        typer.Option(envvar="MSC_NEW_PASSWORD", help="Change the password at sign-on; an expired one must."),
    ] = None,
    requester: Annotated[str | None, typer.Option(help="Who asks (criminal history).")] = None,
    secondary: Annotated[str | None, typer.Option(help="Who else receives the answer.")] = None,
    urgent: Annotated[bool, typer.Option("--urgent", help="Send with priority.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for answers.", min=0)] = 35.0,
    receipts: Annotated[
        bool, typer.Option("--receipts", help="Say what has become of it at each of its destinations.")
    ] = False,
    json: Json = False,
) -> None:
    """Sign on, send a message, print its acknowledgement and its answers.

    Exit codes: 0 answered, 1 refused, 2 wrong usage, 3 no switch, 4 accepted but not answered by all.
    """
    site, text = site_and(arguments, "the message")
    settings = load_settings(site)
    known = _demo_user(settings.folder, user)
    password = password or known.get("password") or _ask_password(user)
    otps = [otp]
    if otp is None and known.get("otp_secret"):
        # The second is the next step's, for who signs on twice within half a minute: a code counts once.
        now_us = clock.wall_us()
        otps = [present_otp(known["otp_secret"], now_us + step * OTP_STEP_S * 1_000_000) for step in (0, 1)]
    envelope: dict[str, Any] = {"requester": requester, "secondary": secondary}
    if urgent:
        envelope["priority"] = "urgent"
    envelope = {name: value for name, value in envelope.items() if value is not None}
    request = Request(
        settings, device, user, password, new_password, otps, text, envelope or None, wait, receipts, json
    )
    try:
        raise typer.Exit(run(request.run()))
    except RefusedByPeer as exc:
        if json:
            out.print_json(data={"refused": exc.code, "reason": exc.reason}, indent=None)
            raise typer.Exit(Exit.REFUSED) from None
        fail(f"refused: {exc}", Exit.REFUSED)
    except Disconnected as exc:
        fail(str(exc), Exit.UNREACHABLE)


def _demo_user(folder: Path, user: str) -> dict[str, Any]:
    """Find a user's secrets where a demo site wrote them down."""
    try:
        demo = jsonlib.loads((folder / "demo.json").read_text("utf-8"))
        return next((row for row in demo["users"] if row["user"] == user), {})
    except (OSError, ValueError, KeyError):
        return {}


def _ask_password(user: str) -> str:
    if not sys.stdin.isatty():
        fail(f"no password for {user}: give --password or set MSC_PASSWORD", Exit.USAGE)
    return getpass.getpass(f"Password of {user}: ")


@dataclass
class Request:
    """One `msc send`."""

    settings: Settings
    device: str
    user: str
    password: str
    new_password: str | None
    otps: list[str | None]
    text: str
    envelope: dict[str, Any] | None
    wait_s: float
    receipts: bool
    json: bool

    async def run(self) -> Exit:
        """Do it; returns the exit code."""
        settings, certs = self.settings, self.settings.folder / "certs" / "devices"
        context = tls.client_context(
            settings.path(settings.tls.ca), certs / f"{self.device}.pem", certs / f"{self.device}.key"
        )
        client = await Client.connect(settings.listener.host, settings.listener.port, context)
        try:
            signed_on = await self._sign_on(client)
            if not self.json:
                text = f"signed on as {signed_on.user} ({signed_on.ori}) with mnemonic {signed_on.mnemonic}"
                err.print(text, markup=False, style="dim")
            msn = await client.send(self.text, self.envelope)
            self._print({"acknowledged": msn}, f"acknowledged, MSN {msn}")
            code = await self._answers(client, msn)
            if self.receipts:
                try:
                    await self._show_receipts(client, msn)
                except TimeoutError:
                    err.print("msc: the switch has no time to look up the receipts", style="yellow")
            await client.sign_off()
            return code
        finally:
            client.close("done")
            await asyncio.sleep(0)

    async def _sign_on(self, client: Client) -> SignedOn:
        for otp in self.otps[:-1]:
            try:
                return await client.sign_on(self.user, self.password, otp=otp, new_password=self.new_password)
            except RefusedByPeer as exc:
                if exc.code != SecondFactorFailed.code:
                    raise
        return await client.sign_on(self.user, self.password, otp=self.otps[-1], new_password=self.new_password)

    async def _answers(self, client: Client, msn: int) -> Exit:
        """Print what comes until every destination has answered or been given up, or time is up."""
        if not self._expects_answers(load_catalog(self.settings.path(self.settings.catalog.folder))):
            return Exit.OK
        code, awaiting = Exit.OK, True
        try:
            async with asyncio.timeout(self.wait_s) as patience:
                while True:
                    message = await client.receive()
                    self._show(message)
                    if message.envelope.get("transaction") != msn:
                        continue
                    if message.kind == "status":
                        code = Exit.NO_ANSWER
                    if awaiting and not message.envelope.get("awaiting"):
                        # Every line has answered; one may have more to say.
                        awaiting = False
                        patience.reschedule(asyncio.get_running_loop().time() + _MORE_S)
        except TimeoutError:
            if not awaiting:
                return code
            err.print(f"msc: no further answer within {self.wait_s:g} s", style="yellow")
            return Exit.NO_ANSWER

    async def _show_receipts(self, client: Client, msn: int) -> None:
        """Print the receipts: as they stand once nothing is on its way any more, or a moment later."""
        until = clock.monotonic() + min(_RECEIPTS_S, self.wait_s)
        found = await self._all_receipts(client, msn)
        while clock.monotonic() < until and any(receipt.state in ("queued", "sent") for receipt in found):
            found = await self._all_receipts(client, msn)
        for receipt in found:
            whose = f", which was for {receipt.original}" if receipt.original else ""
            members = {"receipt": receipt.model_dump()}
            self._print(members, f"{receipt.destination}: {receipt.state}{whose} ({receipt.at})")

    async def _all_receipts(self, client: Client, msn: int) -> list[Receipt]:
        found: list[Receipt] = []
        async with asyncio.timeout(_RECEIPTS_PATIENCE_S):
            while True:
                try:
                    report = await client.ask(Receipts(msn=msn, after=len(found)), ReceiptsReport)
                except RefusedByPeer as exc:
                    if exc.code != Overloaded.code:
                        raise
                else:
                    found += report.destinations
                    if len(found) >= report.total or not report.destinations:
                        return found
                await asyncio.sleep(RECEIPTS_REST_S)

    def _expects_answers(self, catalog: Catalog) -> bool:
        try:
            key, _ = catalog.find(self.text)
        except Refusal:
            return True
        return key.function is not Function.ADMINISTRATIVE

    def _show(self, message: Delivered) -> None:
        envelope = message.envelope
        head = f"{envelope.get('kind')} from {envelope.get('source')}, MSN {envelope.get('msn')}"
        if envelope.get("confirm"):
            head += "; a hit: confirm with the entering agency before acting"
        self._print({**envelope, "text": message.text}, f"--- {head}\n{message.text}")

    def _print(self, members: dict[str, Any], text: str) -> None:
        if self.json:
            out.print(jsonlib.dumps(members), markup=False)
        else:
            out.print(text, markup=False)
