"""`msc certs`: the site's certificates, from the authority to what is revoked."""

from __future__ import annotations

import getpass
import json as jsonlib
import os
import re
import secrets
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography import x509
from rich.table import Table

from msc import clock
from msc.cli.common import Exit, Json, Site, err, fail, out, run, site_and, site_and_words
from msc.cli.rows import Operator
from msc.directory.store import Change
from msc.pki.authority import (
    Authority,
    CertificateProfile,
    Holder,
    HolderKind,
    host_names,
    key_is_encrypted,
    load_profile,
)
from msc.pki.certificate import (
    certificate_folder,
    demo_passphrase,
    describe,
    describe_issued,
    in_force,
    is_line_end,
    usual_stem,
)
from msc.pki.folder import CertificateFolder, IssuedCertificate, parse_certificates
from msc.settings import Settings, load_settings
from msc.site.administer import note
from msc.site.shipped import shipped_profile

app = typer.Typer(help="Make, renew, revoke and show the site's certificates.", no_args_is_help=True)

_SERIAL: Final = re.compile(r"[0-9A-Fa-f]{16,40}")
_KINDS: Final = ", ".join(HolderKind)

Holders = Annotated[
    list[str], typer.Argument(metavar="[SITE] [KIND] NAME", help=f"The site's msc.toml, {_KINDS}, a name.")
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(help="Holds the authority's passphrase; else MSC_CA_PASSPHRASE, or asked for."),
]
CaKey = Annotated[
    Path | None, typer.Option(envvar="MSC_CA_KEY", help="The authority's key, where it is kept elsewhere.")
]
Days = Annotated[int | None, typer.Option(help="How long it is valid; by default certs/profile.toml says.", min=1)]
ValidFrom = Annotated[
    str | None, typer.Option(metavar="DATE", help="From when it is valid (UTC), to prepare a change; by default now.")
]
Csr = Annotated[bool, typer.Option("--csr", help="Make a key and a request for an authority elsewhere.")]
Why = Annotated[str, typer.Option("--why", envvar="MSC_REASON", help="Why; it stands in the journal.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]


class Reason(StrEnum):
    """Why a certificate is revoked (RFC 5280 5.3.1), as far as it is for good and for those below an authority."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"


@dataclass(frozen=True, slots=True)
class _Certificates:
    """The certificates of the site a command was given."""

    settings: Settings
    folder: CertificateFolder

    @classmethod
    def at(cls, site: Path) -> _Certificates:
        settings = load_settings(site)
        folder = certificate_folder(settings)
        folder.finish()
        return cls(settings, folder)

    @property
    def profile(self) -> CertificateProfile:
        own = self.folder.folder / "profile.toml"
        return load_profile(own if own.is_file() else shipped_profile())

    def stem(self, holder: Holder) -> Path:
        return usual_stem(self.settings, holder)

    def authority(self, passphrase_file: Path | None, key: Path | None) -> Authority:
        """Open the authority; its passphrase is asked for where nothing else gives it."""
        folder, key = self.folder, key or self.folder.ca_key
        if not key.is_file():
            fail(
                f"{key} is not there: bring the authority's key back, or name it with --ca-key; an authority "
                "elsewhere issues and revokes by itself (--csr, import)",
                Exit.USAGE,
            )
        passphrase = _given_passphrase(passphrase_file) or demo_passphrase(self.settings)
        if passphrase is None and key_is_encrypted(key.read_bytes()):
            passphrase = _ask(
                f"Passphrase of {key}: ",
                "the authority's key is encrypted: give --passphrase-file or set MSC_CA_PASSPHRASE",
            )
        return Authority.load(self.profile, folder.ca, key, passphrase)

    def holder(self, words: list[str]) -> Holder:
        """Find whom `[KIND] NAME` means; the kind may be left out where only one holder has that name."""
        if len(words) == 2:
            return _holder(*words)
        if len(words) != 1:
            fail(f"give a name, or a kind ({_KINDS}) and a name", Exit.USAGE)
        found = sorted({row.holder for row in self.folder.register() if row.holder.name == words[0]})
        if not found:
            fail(f"no certificate was issued to {words[0]!r}", Exit.REFUSED)
        if len(found) > 1:
            fail(f"say which: {', '.join(f'{holder.kind} {holder.name}' for holder in found)}", Exit.USAGE)
        return found[0]


def _holder(kind: str, name: str) -> Holder:
    try:
        return Holder.parse(f"msc://{kind}/{name}")
    except ValueError as exc:
        fail(str(exc), Exit.USAGE)


def _read_secret(file: Path) -> str:
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        fail(f"{file}: cannot be read: {exc}", Exit.USAGE)
    if not lines or not lines[0]:
        fail(f"{file}: its first line is empty", Exit.USAGE)
    return lines[0]


def _given_passphrase(file: Path | None) -> str | None:
    return _read_secret(file) if file is not None else os.environ.get("MSC_CA_PASSPHRASE") or None


def _ask(prompt: str, otherwise: str) -> str:
    if not sys.stdin.isatty():
        fail(otherwise, Exit.USAGE)
    return getpass.getpass(prompt)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromtimestamp(clock.parse_rfc3339(text) // 1_000_000, UTC)
    except ValueError:
        fail(f"--valid-from: {text!r} is not a date or time such as 2026-01-31", Exit.USAGE)


def _note(certificates: _Certificates, operator: str | None, action: str, why: str, *subjects: str) -> None:
    """Have the auditors told; who issues a certificate gives a device its identity (C-ACPLOG)."""
    changes = [Change("certificate", subject, action) for subject in subjects]
    if not run(note(certificates.settings, operator, changes, why)):
        err.print("msc: there is no directory here, so this is not in the audit stream", style="yellow")


def _subject(certificate: x509.Certificate) -> str:
    """Name a certificate for the auditors: its holder and serial."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return f"{', '.join(names.get_values_for_type(x509.UniformResourceIdentifier))} {certificate.serial_number:X}"


def _tell(certificate: x509.Certificate, where: Path, json: bool) -> None:
    facts = describe(certificate) | {"certificate": f"{where}.pem", "key_file": f"{where}.key"}
    if json:
        print(jsonlib.dumps(facts))
        return
    out.print(f"{facts['holder']}  serial {facts['serial']}", markup=False)
    out.print(f"  valid        {facts['valid_from']} to {facts['valid_until']}", markup=False)
    out.print(f"  certificate  {facts['certificate']}", markup=False)
    out.print(f"  key          {facts['key_file']}", markup=False)


# --- the authority --------------------------------------------------------------------------------


@app.command()
def init(
    site: Site,
    external: Annotated[
        Path | None, typer.Option(metavar="CA.pem", help="Trust an authority elsewhere: its certificate, or chain.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    force: Force = False,
) -> None:
    """Make an authority for a site that has none; or take one that is elsewhere."""
    certificates = _Certificates.at(site)
    if external is not None:
        for authority in certificates.folder.adopt(external, force=force):
            out.print(f"trusts {authority.subject.rfc4514_string()}", markup=False)
        return
    given = _given_passphrase(passphrase_file)
    passphrase = given or secrets.token_urlsafe(18)
    certificates.folder.establish(certificates.profile, passphrase)
    out.print(f"made {certificates.folder.ca} and {certificates.folder.ca_key}", markup=False)
    if given is None:
        out.print(f"  passphrase of the key: {passphrase} (shown this once)", markup=False)


@app.command()
def issue(
    arguments: Annotated[
        list[str], typer.Argument(metavar="[SITE] KIND NAME", help=f"The site's msc.toml, {_KINDS}, a name.")
    ],
    days: Days = None,
    valid_from: ValidFrom = None,
    host: Annotated[
        list[str] | None, typer.Option(help="A host name or address it serves under; may be given again.")
    ] = None,
    stem: Annotated[
        Path | None, typer.Option("--out", metavar="STEM", help="Write STEM.pem and STEM.key, not the site's own.")
    ] = None,
    csr: Csr = False,
    passphrase_file: PassphraseFile = None,
    ca_key: CaKey = None,
    force: Force = False,
    json: Json = False,
    operator: Operator = None,
    why: Why = "",
) -> None:
    """Issue a certificate, or make the request for one."""
    site, words = site_and_words(arguments)
    if len(words) != 2:
        fail(f"give the site's msc.toml, a kind ({_KINDS}) and a name", Exit.USAGE)
    certificates, holder = _Certificates.at(site), _holder(*words)
    where, hosts = stem or certificates.stem(holder), tuple(host or ())
    if csr:
        _request(certificates, holder, where, hosts, force=force)
        return
    made = certificates.folder.issue(
        certificates.authority(passphrase_file, ca_key), holder, where,
        hosts=hosts, days=days, valid_from=_moment(valid_from), force=force,
    )  # fmt: skip
    _note(certificates, operator, "issued", why, _subject(made))
    _tell(made, where, json)


def _request(
    certificates: _Certificates, holder: Holder, where: Path, hosts: tuple[str, ...], *, force: bool
) -> None:
    request = certificates.folder.request(certificates.profile, holder, where, hosts=hosts, force=force)
    out.print(
        f"{request}: have it signed, then: msc certs import {certificates.settings.file} FILE.pem", markup=False
    )


@app.command()
def renew(
    arguments: Holders,
    days: Days = None,
    valid_from: ValidFrom = None,
    revoke_old: Annotated[bool, typer.Option("--revoke-old", help="Revoke its other certificates at once.")] = False,
    csr: Csr = False,
    passphrase_file: PassphraseFile = None,
    ca_key: CaKey = None,
    json: Json = False,
    operator: Operator = None,
    why: Why = "",
) -> None:
    """Give a holder a new key and certificate. The old certificate stays valid until it ends."""
    site, words = site_and_words(arguments)
    certificates = _Certificates.at(site)
    holder = certificates.holder(words)
    where, old = certificates.stem(holder), certificates.folder.of(holder)
    if not old:
        fail(f"no certificate was issued to {holder}: msc certs issue", Exit.REFUSED)
    hosts = host_names(old[-1].certificate)
    if csr:
        _request(certificates, holder, where, hosts, force=False)
        return
    authority = certificates.authority(passphrase_file, ca_key)
    made = certificates.folder.issue(
        authority, holder, where, hosts=hosts, days=days, valid_from=_moment(valid_from), force=True
    )
    if revoke_old:
        superseded = [row for row in old if not row.ended]
        _revoke(certificates, authority, superseded, Reason.SUPERSEDED)
        _note(certificates, operator, "revoked", why, *(_subject(row.certificate) for row in superseded))
    _note(certificates, operator, "issued", why, _subject(made))
    _tell(made, where, json)


@app.command(name="import")
def import_(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="[SITE] FILE", help="The site's msc.toml, what they sent (PEM or DER)."),
    ],
    crl: Annotated[bool, typer.Option("--crl", help="It is a revocation list.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Take a list older than the present one; a running switch does not.")
    ] = False,
    operator: Operator = None,
    why: Why = "",
) -> None:
    """Take in a certificate or a revocation list from an authority elsewhere, after checking it."""
    site, name = site_and(arguments, "a file")
    certificates, file = _Certificates.at(site), Path(name)
    try:
        content = file.read_bytes()
    except OSError as exc:
        fail(f"{file}: cannot be read: {exc.strerror}", Exit.USAGE)
    if crl:
        revoked = certificates.folder.take_in_crl(content, file, force=force)
        _note(certificates, operator, "list_imported", why, f"list of {file.name}")
        out.print(f"{certificates.folder.crl}: revokes {revoked}", markup=False)
        return
    try:
        holder = Holder.of(parse_certificates(content, file)[0])
    except ValueError as exc:
        fail(f"{file}: {exc}", Exit.USAGE)
    where = certificates.stem(holder)
    made = certificates.folder.take_in(content, file, where, serves=is_line_end(certificates.settings, holder))
    _note(certificates, operator, "imported", why, _subject(made))
    _tell(made, where, json=False)


# --- revoking -------------------------------------------------------------------------------------


@app.command()
def revoke(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="[SITE] SERIAL|[KIND] NAME", help="The site's msc.toml, a serial or a name."),
    ],
    reason: Annotated[Reason, typer.Option(help="Why (RFC 5280).")] = Reason.UNSPECIFIED,
    passphrase_file: PassphraseFile = None,
    ca_key: CaKey = None,
    operator: Operator = None,
    why: Why = "",
) -> None:
    """Revoke a certificate, or all of a name. A running switch ends its connections within a second."""
    site, words = site_and_words(arguments)
    certificates = _Certificates.at(site)
    rows = [row for row in _find(certificates, words) if not row.ended]
    if not rows:
        fail("there is nothing to revoke: its certificates have expired or are revoked", Exit.REFUSED)
    _revoke(certificates, certificates.authority(passphrase_file, ca_key), rows, reason)
    _note(certificates, operator, "revoked", why or reason.value, *(_subject(row.certificate) for row in rows))
    for row in rows:
        out.print(f"revoked {row.holder}, serial {row.serial}", markup=False)


def _revoke(certificates: _Certificates, authority: Authority, rows: list[IssuedCertificate], reason: Reason) -> None:
    serials = [row.certificate.serial_number for row in rows]
    certificates.folder.revoke(authority, serials, x509.ReasonFlags(reason.value))


def _find(certificates: _Certificates, words: list[str]) -> list[IssuedCertificate]:
    """Find certificates by serial or by holder."""
    if len(words) == 1 and _SERIAL.fullmatch(words[0]):
        serial = int(words[0], 16)
        found = [row for row in certificates.folder.register() if row.certificate.serial_number == serial]
        if not found:
            fail(f"there is no certificate of serial {words[0]}", Exit.REFUSED)
        return found
    holder = certificates.holder(words)
    found = certificates.folder.of(holder)
    if not found:
        fail(f"no certificate was issued to {holder}", Exit.REFUSED)
    return found


@app.command()
def crl(
    site: Site,
    show_only: Annotated[bool, typer.Option("--print", help="Print the present list (PEM); sign nothing.")] = False,
    passphrase_file: PassphraseFile = None,
    ca_key: CaKey = None,
) -> None:
    """Sign the revocation list again, so that its next update is due later."""
    certificates = _Certificates.at(site)
    folder = certificates.folder
    if show_only:
        if not folder.crl.is_file():
            fail(f"{folder.crl} is not there: nothing is revoked", Exit.REFUSED)
        print(folder.crl.read_text("ascii"), end="")
        return
    folder.revoke(certificates.authority(passphrase_file, ca_key), [], x509.ReasonFlags.unspecified)
    facts = in_force(certificates.settings)["crl"]
    out.print(f"{folder.crl}: revokes {facts['revoked']}, next update {facts['next_update']}", markup=False)


# --- looking --------------------------------------------------------------------------------------


@app.command(name="list")
def list_(site: Site, json: Json = False) -> None:
    """List every certificate that was issued, and whether it is valid."""
    rows = _Certificates.at(site).folder.register()
    if json:
        for row in rows:
            print(jsonlib.dumps(describe_issued(row)))
        return
    table = Table("kind", "name", "valid from (UTC)", "until", "state", "serial", box=None, pad_edge=False)
    for row in rows:
        begins, ends = row.certificate.not_valid_before_utc, row.ends
        table.add_row(
            row.holder.kind,
            row.holder.name,
            f"{begins:%Y-%m-%d %H:%M}",
            f"{ends:%Y-%m-%d %H:%M}",
            row.state,
            row.serial,
        )
    out.print(table)


@app.command()
def show(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SITE] [SERIAL|[KIND] NAME]", help="The site's msc.toml, a serial or a name."),
    ] = None,
    json: Json = False,
) -> None:
    """Show a holder's certificates; or, without a name, what is in force."""
    site, words = site_and_words(arguments or [])
    certificates = _Certificates.at(site)
    if not words:
        _show(in_force(certificates.settings), json)
        if not json and certificates.folder.key_state() == "not encrypted":
            err.print(f"remark  {certificates.folder.ca_key}: is not encrypted", markup=False, style="yellow")
        return
    for row in _find(certificates, words):
        _show(describe_issued(row), json)


def _show(facts: dict[str, Any], json: bool) -> None:
    if json:
        print(jsonlib.dumps(facts))
        return
    for name, value in _flat(facts):
        out.print(f"{name:26} {value}", markup=False)
    out.print()


def _flat(facts: dict[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Write nested facts as lines: `switch serial`, `tls openssl` …"""
    rows: list[tuple[str, str]] = []
    for name, value in facts.items():
        title = f"{before}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            rows += _flat(value, f"{title} ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for each in value:
                rows += _flat(each, f"{title} ")
        elif isinstance(value, list):
            rows.append((title, ", ".join(map(str, value)) or "none"))
        else:
            rows.append(
                (title, "none" if value is None else ("no", "yes")[value] if isinstance(value, bool) else str(value))
            )
    return rows


@app.command()
def export(
    arguments: Holders,
    to: Annotated[
        Path, typer.Option("--out", help="A folder to make (certificate, key, ca.pem); with --pkcs12 the file.")
    ],
    pkcs12: Annotated[bool, typer.Option("--pkcs12", help="One file that a password protects.")] = False,
    password_file: Annotated[
        Path | None, typer.Option(help="Holds that password; else MSC_EXPORT_PASSWORD, or asked for.")
    ] = None,
    operator: Operator = None,
    why: Why = "",
) -> None:
    """Write what a station needs: its certificate, its key, and whom to trust."""
    site, words = site_and_words(arguments)
    certificates = _Certificates.at(site)
    holder = certificates.holder(words)
    stem = certificates.stem(holder)
    if not pkcs12:
        for file in certificates.folder.export(stem, holder, to):
            out.print(str(file), markup=False)
        _note(certificates, operator, "exported", why, str(holder))
        return
    password = _read_secret(password_file) if password_file else os.environ.get("MSC_EXPORT_PASSWORD")
    password = password or _ask(f"Password for {to}: ", "give --password-file or set MSC_EXPORT_PASSWORD")
    certificates.folder.export_pkcs12(stem, holder, to, password)
    _note(certificates, operator, "exported", why, str(holder))
    out.print(str(to), markup=False)
