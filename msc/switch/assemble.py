"""The switch's parts, put together in the order in which they need each other; nothing is attached afterwards.

lifecycle ── deliveries ── confirmations, bulletins ── traffic ── switch ── stations ── operators' orders
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from msc.access.control_point import AccessControlPoint
from msc.access.misuse import Asked
from msc.journal.writer import JournalWriter
from msc.metrics import Metrics
from msc.protocol.catalog import Catalog
from msc.routing.plan import Plan
from msc.settings import Settings
from msc.switch.attendance import Attendance
from msc.switch.bulletin import BulletinBoard
from msc.switch.confirmations import Confirmations
from msc.switch.delivery import Deliveries
from msc.switch.intake import Intake
from msc.switch.lifecycle import Lifecycle
from msc.switch.orders.in_force import StandingOrders
from msc.switch.orders.intercept import Intercepts
from msc.switch.orders.intercept_work import InterceptWork
from msc.switch.orders.operations import Operations
from msc.switch.orders.operations import Stations as OrderedStations
from msc.switch.orders.queue_view import QueueView
from msc.switch.orders.queue_work import QueueWork
from msc.switch.orders.transfer import Records, Transfers
from msc.switch.port import LinePort
from msc.switch.receipt import Look, ReceiptReports
from msc.switch.recovery import Recovery
from msc.switch.redirect import Redirection
from msc.switch.service import ServiceStates
from msc.switch.silence import SilenceWatch
from msc.switch.stations import Stations
from msc.switch.switch import Switch
from msc.switch.traffic import LineTraffic
from msc.switch.visits import Visits
from msc.tls import Examine
from msc.transit.repeat import Repeats
from msc.transit.service_state import Services
from msc.transit.transit import TimeOuts, Transit


@dataclass(frozen=True, slots=True)
class Assembled:
    """The parts that others work with."""

    transit: Transit
    deliveries: Deliveries
    redirection: Redirection
    confirmations: Confirmations
    board: BulletinBoard
    services: ServiceStates
    repeats: Repeats
    intake: Intake
    intercepts: Intercepts
    traffic: LineTraffic
    switch: Switch
    recovery: Recovery
    visits: Visits
    stations: Stations


def assemble(
    settings: Settings,
    *,
    catalog: Catalog,
    services: Services,
    plan: Plan,
    point: AccessControlPoint,
    writer: JournalWriter,
    metrics: Metrics,
    look: Look,
    line_states: Callable[[], dict[str, str]],
    examine: Examine,
    watch: Callable[[Asked], None] = lambda _asked: None,
) -> Assembled:
    """Put the switch together.

    Args:
        services: The messages by which the state speaks of its own service.
        look: Looks into the journal, for receipts.
        line_states: Says how lines stand.
        examine: Says what is wrong with a certificate that TLS has let pass.
        watch: Is shown every message that was accepted.
    """
    directory = point.directory
    transit = Transit(timeouts=TimeOuts({line.name: line.timeouts for line in settings.line}))
    lifecycle, attendance, visits = Lifecycle(transit, writer), Attendance(), Visits()
    redirection = Redirection(directory, attendance.absent_s, plan.forwarding)
    deliveries = Deliveries(
        lifecycle,
        metrics,
        attendance=attendance,
        kept=settings.queue,
        ack_s=settings.listener.ack_s,
        known=directory.has_station,
        redirect=redirection,
    )
    confirmations = Confirmations(
        settings.hit_confirmation, catalog=catalog, point=point, lifecycle=lifecycle, deliveries=deliveries,
        metrics=metrics,
    )  # fmt: skip
    board = BulletinBoard(lifecycle, deliveries, settings.queue.bulletin_s, visits.addresses)
    states, repeats = ServiceStates(services, point.audit, visits.notify), Repeats()
    intercepts = Intercepts(catalog)
    traffic = LineTraffic(
        point=point,
        lifecycle=lifecycle,
        deliveries=deliveries,
        metrics=metrics,
        kept=settings.queue,
        confirmations=confirmations,
        services=states,
        unanswered=SilenceWatch(settings.alarms.unanswered_s),
        repeats=repeats,
        intercepted=intercepts.rule_for_unsolicited,
    )
    intake = Intake(catalog, plan, point, {line.name: line.mode for line in settings.line})
    switch = Switch(
        intake=intake,
        point=point,
        lifecycle=lifecycle,
        traffic=traffic,
        deliveries=deliveries,
        metrics=metrics,
        confirmations=confirmations,
        board=board,
        intercepts=intercepts,
        watch=watch,
    )
    recovery = Recovery(
        catalog=catalog, point=point, lifecycle=lifecycle, traffic=traffic, deliveries=deliveries,
        keepers={"hitconf": confirmations.take_back, "board": board.restore},
    )  # fmt: skip
    stations = Stations(
        point=point,
        switch=switch,
        deliveries=deliveries,
        settings=settings.listener,
        line_states=line_states,
        receipts=ReceiptReports(look, directory),
        board=board,
        visits=visits,
        examine=examine,
    )
    return Assembled(
        transit, deliveries, redirection, confirmations, board, states, repeats, intake, intercepts, traffic, switch,
        recovery, visits, stations,
    )  # fmt: skip


def assemble_orders(
    parts: Assembled,
    *,
    catalog: Catalog,
    point: AccessControlPoint,
    orders: StandingOrders,
    file: Path,
    stations: OrderedStations,
    lines: Mapping[str, LinePort],
    records: Records,
    durable: Callable[[], Awaitable[bool]],
) -> Operations:
    """Bring together what carries out operators' orders.

    Args:
        orders: Those in force when the switch stopped.
        file: Where those that stay in force are kept.
        stations: Shows notices, and ends connections.
        records: Finds messages of the journal.
        durable: Waits until all that was noted is in the journal; tells whether it is.
    """
    directory, lifecycle = point.directory, parts.switch.lifecycle
    traffic, deliveries, intake = parts.traffic, parts.deliveries, parts.intake
    view = QueueView(directory, traffic, deliveries)
    transfers = Transfers(
        catalog=catalog, point=point, lifecycle=lifecycle, traffic=traffic, deliveries=deliveries, view=view,
        records=records, durable=durable,
    )  # fmt: skip
    work = QueueWork(
        directory=directory, lifecycle=lifecycle, traffic=traffic, deliveries=deliveries, intake=intake,
        beside=parts.switch.beside, view=view, transfers=transfers,
    )  # fmt: skip
    intercept_work = InterceptWork(
        catalog=catalog, directory=directory, lifecycle=lifecycle, deliveries=deliveries, intake=intake,
        intercepts=parts.intercepts, beside=parts.switch.beside, transfers=transfers,
    )  # fmt: skip
    return Operations(
        orders=orders,
        file=file,
        catalog=catalog,
        directory=directory,
        lifecycle=lifecycle,
        traffic=traffic,
        deliveries=deliveries,
        lines=lines,
        stations=stations,
        forwards=parts.redirection,
        intercepts=parts.intercepts,
        view=view,
        work=work,
        intercept_work=intercept_work,
        bulletins=parts.board,
        confirmations=parts.confirmations,
    )
