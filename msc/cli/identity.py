"""Who asks and why, on the command line: the options that say so, and the key that proves it."""

from __future__ import annotations

import getpass
import os
import stat
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from msc.cli.common import Exit, fail
from msc.settings import Settings

# What signs and asks is imported where it is used: no help waits for it.
if TYPE_CHECKING:
    from msc.control.client import RefusedBySwitch, SwitchNotRunning
    from msc.control.operator_key import OperatorKey

AskingAs = Annotated[
    str | None, typer.Option("--as", envvar="MSC_OPERATOR", metavar="NAME", help="The operator who asks.")
]
Why = Annotated[
    str | None,
    typer.Option("--reason", envvar="MSC_REASON", help="Why; it stands in the journal.", show_default=False),
]
CertificateFile = Annotated[
    Path | None,
    typer.Option(
        "--operator-certificate",
        envvar="MSC_OPERATOR_CERTIFICATE",
        help="The operator's certificate; else certs/operators/NAME.pem of the site.",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--operator-key", envvar="MSC_OPERATOR_KEY", help="Its key; else beside the certificate, NAME.key."),
]
PASSPHRASE_FILE = "MSC_OPERATOR_PASSPHRASE_FILE"  # noqa: S105
"""Names a file, and no passphrase: what stands in the environment, every child process has."""


def operator_key(
    settings: Settings, name: str | None, certificate: Path | None = None, key: Path | None = None
) -> OperatorKey:
    """Find the certificate and key of whoever asks; fail if nobody is named, or they cannot be used.

    Args:
        name: `--as`; may be left out where a certificate is given.
        certificate, key: Where they stand, if not in their usual place.

    Raises:
        SiteError: They cannot be read, or do not belong together.
    """
    from msc.control.operator_key import load_operator_key

    if certificate is None:
        if name is None:
            fail("say who asks: --as NAME, or MSC_OPERATOR", Exit.USAGE)
        found = usual_certificate(settings, name)
        if found is None:
            fail(f"{name!r} is not an operator's name; or give --operator-certificate", Exit.USAGE)
        certificate = found
    key = key or certificate.with_suffix(".key")
    loaded = load_operator_key(certificate, key, lambda: _passphrase(key))
    if name is not None and loaded.name != name:
        fail(f"{certificate} is {loaded.name}'s, not {name}'s", Exit.USAGE)
    return loaded


def usual_certificate(settings: Settings, name: str) -> Path | None:
    """Return where an operator's certificate usually stands; None if no operator can be of that name."""
    from msc.pki.authority import Holder, HolderKind
    from msc.pki.certificate import usual_stem

    try:
        holder = Holder(HolderKind.OPERATOR, name)
    except ValueError:
        return None
    # Not `with_suffix`: a name may have dots of its own.
    return Path(f"{usual_stem(settings, holder)}.pem")


def reason_given(reason: str | None) -> str:
    """Return why somebody asks; fail if they do not say."""
    if not reason or not reason.strip():
        fail("say why: --reason TEXT, or MSC_REASON; it stands in the journal", Exit.USAGE)
    return reason


async def asked_of_switch(
    settings: Settings, operator: OperatorKey, path: str, content: dict[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    """Ask the running switch as an operator, and fail with its exit code where it does not answer or says no.

    Yields:
        `{"item": ...}` and `{"progress": ...}`, and last `{"end": ...}`.
    """
    from msc.control.client import RefusedBySwitch, SwitchNotRunning, ask_as

    try:
        async for line in ask_as(settings, operator, path, content):
            yield line
    except (SwitchNotRunning, RefusedBySwitch) as exc:
        unanswered(exc)


def unanswered(exc: SwitchNotRunning | RefusedBySwitch) -> NoReturn:
    """Say why the switch did not answer, and exit."""
    from msc.control.client import SwitchNotRunning

    fail(str(exc), Exit.UNREACHABLE if isinstance(exc, SwitchNotRunning) else Exit.REFUSED)


def _passphrase(key: Path) -> str | None:
    named = os.environ.get(PASSPHRASE_FILE)
    if named:
        return _from_file(Path(named))
    if not sys.stdin.isatty():
        return None
    return getpass.getpass(f"Passphrase of {key}: ")


def _from_file(file: Path) -> str:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        fail(f"{PASSPHRASE_FILE}: {file}: cannot be read: {exc}", Exit.USAGE)
    if mode & 0o077:
        fail(f"{PASSPHRASE_FILE}: {file}: others can read it (mode {mode:o}): chmod 600", Exit.USAGE)
    if not lines or not lines[0]:
        fail(f"{PASSPHRASE_FILE}: {file}: its first line is empty", Exit.USAGE)
    return lines[0]
