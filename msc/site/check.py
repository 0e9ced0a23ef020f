"""`msc check`: every fault of a site's configuration at once, without starting anything."""

from __future__ import annotations

import grp
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from msc import clock, tls
from msc.access.misuse import load_high_profile
from msc.directory import consistency
from msc.directory.credential import hash_password
from msc.directory.rows import Directory, Role
from msc.directory.store import DirectoryStore, DirectoryUnavailable
from msc.errors import Fault, FaultyInput
from msc.journal.proof.checkpoint import load_signatories, load_signer
from msc.metrics import Metrics
from msc.pki.certificate import certificate_remarks
from msc.pki.material import TlsMaterial
from msc.protocol.catalog import Catalog, load_catalog
from msc.routing.plan import Plan, PlanFiles
from msc.routing.table import RouteTable
from msc.settings import Settings, load_settings, salvage_settings
from msc.switch.orders.in_force import StandingOrders, load_orders
from msc.switch.site_plan import load_site_plan
from msc.transit.service_state import load_services
from msc.transit.transit import fits

Loaded = TypeVar("Loaded")

_UNKNOWN_MAX = 20


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
    _check_orders(report, settings)
    directory = await _load_directory(report, settings)
    if directory is not None:
        _check_directory(report, settings, directory)
    _check_services(report, settings, catalog)
    _check_clocks(report, settings, catalog, directory)
    _check_plan(report, settings, catalog, directory)
    began = clock.monotonic()
    hash_password("how long does this take", settings.credentials)
    report.counts["ms a password check"] = round((clock.monotonic() - began) * 1e3)
    return report


def _check_journal_keys(report: Report, settings: Settings) -> None:
    private, public = settings.path(settings.journal.signing_key), settings.path(settings.journal.public_key)
    if not private.exists():
        report.remarks.append(Fault(private, "", "the journal has no signing key yet; a starting switch makes one"))
        return
    report.collect(load_signer, private)
    report.collect(load_signatories, public)


def _check_orders(report: Report, settings: Settings) -> None:
    """Say what operators have ordered that still holds: it is easily forgotten."""
    file = settings.orders_file
    orders: StandingOrders | None = report.collect(load_orders, file)
    if orders is None:
        return
    for hold in orders.holds.values():
        report.remarks.append(Fault(file, hold.address, f"is held, says {hold.by}: {hold.reason}"))
    for each in orders.alternates.values():
        report.remarks.append(Fault(file, each.replaced, f"{each.to} takes over, says {each.by}: {each.reason}"))
    for rule in orders.intercepts.values():
        report.remarks.append(Fault(file, f"intercept {rule.name}", f"holds messages, says {rule.by}: {rule.reason}"))
    report.counts["standing orders"] = len(orders)


def _check_group(report: Report, settings: Settings) -> None:
    if settings.admin.group is None:
        return
    try:
        grp.getgrnam(settings.admin.group)
    except KeyError:
        report.faults.append(Fault(settings.file, "admin.group", f"there is no group {settings.admin.group!r}"))


def _check_plan(report: Report, settings: Settings, catalog: Catalog | None, directory: Directory | None) -> None:
    files = PlanFiles.of(settings)
    plan: Plan | None = report.collect(load_site_plan, settings, catalog, directory)
    if plan is None:
        return
    routes = plan.routes
    report.counts |= plan.counts()
    if catalog is not None:
        for code in routes.unrouted(catalog):
            report.remarks.append(
                Fault(files.routes, "route", f"no route takes {code}: it will be refused with E305")
            )
        for code in routes.partly_routed(catalog):
            problem = f"routes take some messages {code}, by sender, destination or field; the others get E305"
            report.remarks.append(Fault(files.routes, "route", problem))
    used = {name for route in routes.routes for name in route.lines}
    used |= {name for group in plan.groups for name in group.lines}
    for name in settings.destinations:
        if name not in used:
            report.remarks.append(Fault(files.routes, "route", f"no route uses line {name}"))
    if directory is not None:
        report.remarks += [Fault(files.routes, where, problem) for where, problem in _unknown(routes, directory)]


def _check_services(report: Report, settings: Settings, catalog: Catalog | None) -> None:
    if settings.routes.service is None:
        problem = "is not set: what the state says of its own service is delivered, and nothing else"
        report.remarks.append(Fault(settings.file, "routes.service", problem))
        return
    databases = {key.database for key in catalog} if catalog is not None else None
    services = report.collect(load_services, settings.path(settings.routes.service), databases)
    if services is not None:
        report.counts["service messages"] = len(services)


def _check_clocks(report: Report, settings: Settings, catalog: Catalog | None, directory: Directory | None) -> None:
    for line in settings.line:
        for pattern in line.timeouts:
            if catalog is not None and not any(fits(pattern, key.code) for key in catalog):
                where = f"line {line.name}.timeouts"
                report.faults.append(Fault(settings.file, where, f"no key of the catalog matches {pattern!r}"))
    if directory is None:
        return
    confirmed = settings.hit_confirmation
    named = {f"escalate.{agency}": name for agency, name in confirmed.escalate.items()}
    if confirmed.escalate_to is not None:
        named["escalate_to"] = confirmed.escalate_to
    for where, name in named.items():
        device = directory.devices.get(name)
        if device is None:
            report.faults.append(Fault(settings.file, f"hit_confirmation.{where}", f"there is no device {name!r}"))
        elif not device.attended:
            problem = f"{name} is neither a printer nor staffed at every hour: nobody may see that a time is over"
            report.remarks.append(Fault(settings.file, f"hit_confirmation.{where}", problem))
    for agency in sorted(confirmed.escalate.keys() - directory.agencies.keys()):
        report.faults.append(Fault(settings.file, "hit_confirmation.escalate", f"there is no agency {agency!r}"))


def _unknown(routes: RouteTable, directory: Directory) -> Iterator[tuple[str, str]]:
    """Find routes for senders who are not in the directory: a slip of the pen, or what is left of somebody."""
    known = {
        "mnemonics": frozenset(directory.mnemonics),
        "agencies": frozenset(directory.agencies),
        "oris": frozenset(directory.oris),
    }
    found = 0
    for route in routes.routes:
        for each in route.criteria.conditions:
            missing = each.exact - known[each.about] if each.about in known else None
            if missing:
                found += 1
                if found <= _UNKNOWN_MAX:
                    yield f"{route.name}: {each.about}", f"not in the directory: {', '.join(sorted(missing)[:5])}"
    if found > _UNKNOWN_MAX:
        yield "route", f"and {found - _UNKNOWN_MAX} more that name senders who are not in the directory"


async def _load_directory(report: Report, settings: Settings) -> Directory | None:
    file = settings.database(settings.directory)
    if not file.is_file():
        report.faults.append(Fault(settings.file, "directory.url", f"there is no database {file}"))
        return None
    store = DirectoryStore(settings.database_url(settings.directory))
    try:
        return await store.load()
    except DirectoryUnavailable as exc:
        report.faults.append(Fault(file, "", str(exc)))
        return None
    finally:
        await store.close()


def _check_directory(report: Report, settings: Settings, directory: Directory) -> None:
    file = settings.database(settings.directory)
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
