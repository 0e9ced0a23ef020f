"""`msc check`: every fault of a site's configuration at once, without starting anything."""

from __future__ import annotations

import grp
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from msc import clock, tls
from msc.acp import consistency
from msc.acp.credential import hash_password
from msc.acp.directory import Role
from msc.acp.misuse import load_high_profile
from msc.acp.store import DirectoryStore, DirectoryUnavailable
from msc.admin.certificate import certificate_remarks
from msc.errors import Fault, FaultyInput
from msc.journal.proof.checkpoint import load_signatories, load_signer
from msc.link.tls_material import TlsMaterial
from msc.metrics import Metrics
from msc.protocol.catalog import Catalog, load_catalog
from msc.routing.table import Deliver, RouteTable, load_routes
from msc.settings import Settings, load_settings, salvage_settings

Loaded = TypeVar("Loaded")


@dataclass(slots=True)
class Report:
    """What a check found.

    Attributes:
        faults: What keeps the switch from starting, or breaks a rule.
        remarks: What an administrator should know.
        counts: What was read: keys, routes, users …
    """

    faults: list[Fault] = field(default_factory=list)
    remarks: list[Fault] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def collect(self, load: Callable[..., Loaded], *args: Any) -> Loaded | None:
        """Call something that loads; its faults are noted, and None returned."""
        try:
            return load(*args)
        except FaultyInput as exc:
            self.faults += exc.faults
            return None


async def check_site(file: Path) -> Report:
    """Check a site from its `msc.toml` on."""
    report = Report()
    settings = report.collect(load_settings, file)
    if settings is None:
        settings = salvage_settings(file)
        if settings is None:
            return report
    catalog = report.collect(load_catalog, settings.path(settings.catalog.folder))
    if catalog is not None:
        report.counts["message keys"] = len(catalog)
    _check_routes(report, settings, catalog)
    ca = settings.path(settings.tls.ca)
    if report.collect(TlsMaterial, settings.tls, settings.folder, Metrics()) is not None:
        report.remarks += report.collect(certificate_remarks, settings) or []
    for simulator in settings.simulator:
        report.collect(tls.server_context, ca, settings.path(simulator.certificate), settings.path(simulator.key))
    report.counts["lines"] = len(settings.line)
    if not settings.line:
        report.remarks.append(Fault(file, "line", "there is no line: nothing can reach the state"))
    for line in settings.line:
        if line.is_over(clock.today()):
            problem = f"line {line.name} ended on {line.expires}: it is not connected any more"
            report.remarks.append(Fault(file, "line.expires", problem))
    if settings.journal.in_files and not (folder := settings.database(settings.journal).parent).is_dir():
        report.faults.append(Fault(file, "journal.url", f"there is no folder {folder}"))
    _check_journal_keys(report, settings)
    report.collect(load_high_profile, settings.high_profile)
    _check_group(report, settings)
    await _check_directory(report, settings)
    return report


def _check_journal_keys(report: Report, settings: Settings) -> None:
    private, public = settings.path(settings.journal.signing_key), settings.path(settings.journal.public_key)
    if not private.exists():
        report.remarks.append(Fault(private, "", "the journal has no signing key yet; a starting switch makes one"))
        return
    report.collect(load_signer, private)
    report.collect(load_signatories, public)


def _check_group(report: Report, settings: Settings) -> None:
    if settings.admin.group is None:
        return
    try:
        grp.getgrnam(settings.admin.group)
    except KeyError:
        report.faults.append(Fault(settings.file, "admin.group", f"there is no group {settings.admin.group!r}"))


def _check_routes(report: Report, settings: Settings, catalog: Catalog | None) -> None:
    file = settings.path(settings.routes.file)
    routes: RouteTable | None = report.collect(load_routes, file, catalog, [line.name for line in settings.line])
    if routes is None:
        return
    report.counts["routes"] = len(routes.routes)
    if catalog is None:
        return
    for code in routes.unrouted():
        report.remarks.append(Fault(file, "route", f"no route takes {code}: it will be refused with E305"))
    used = {name for route in routes.routes if route.deliver is Deliver.LINES for name in route.lines}
    backups = {line.backup for line in settings.line}
    for line in settings.line:
        if line.name not in used and line.name not in backups:
            report.remarks.append(Fault(file, "route", f"no route uses line {line.name}"))


async def _check_directory(report: Report, settings: Settings) -> None:
    file = settings.database(settings.directory)
    if not file.is_file():
        report.faults.append(Fault(settings.file, "directory.url", f"there is no database {file}"))
        return
    store = DirectoryStore(settings.database_url(settings.directory))
    try:
        directory = await store.load()
    except DirectoryUnavailable as exc:
        report.faults.append(Fault(file, "", str(exc)))
        return
    finally:
        await store.close()
    found = consistency.faults(directory, settings.password_policies, settings.device_classes)
    report.faults += [Fault(file, f"{table} {key}", problem) for table, key, problem in found]
    report.counts |= {
        "agencies": len(directory.agencies),
        "users": len(directory.users),
        "devices": len(directory.devices),
        "mnemonics": len(directory.mnemonics),
        "operators": len(directory.operators),
    }
    if not any(
        row.role is Role.ADMINISTRATOR and row.in_force(clock.today()) for row in directory.operators.values()
    ):
        problem = "there is no administrator: nobody can hold, back up or break the glass (msc operator add)"
        report.remarks.append(Fault(file, "operator", problem))
    for pool in directory.pools:
        if not directory.members(pool):
            report.remarks.append(Fault(file, f"pool {pool}", "has no mnemonics"))
    began = clock.monotonic()
    hash_password("how long does this take", settings.credentials)
    report.counts["ms a password check"] = round((clock.monotonic() - began) * 1e3)
