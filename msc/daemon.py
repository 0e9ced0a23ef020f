"""The daemon: the one place that knows everyone. It starts them in order, and stops them in the other.

start   lock the site, settings, catalog, routes, directory -> journal -> recovery -> lines -> listener -> monitor
stop    no new messages (E503) -> what was accepted is answered -> stations -> lines -> journal -> directory
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import secrets
import signal
from collections import Counter
from dataclasses import astuple
from datetime import date
from functools import partial
from io import FileIO
from typing import Any

from msc import __version__, clock, tls
from msc.access import housekeeping
from msc.access.control_point import AccessControlPoint
from msc.access.follow import DirectoryFollower, lease_ended
from msc.access.misuse import MisuseWatch, load_high_profile
from msc.access.password import load_banned
from msc.access.review import MisuseReview
from msc.access.terms import Terms
from msc.audit import AuditEvent
from msc.control import break_glass
from msc.control.break_glass import TakenUp
from msc.control.gate import Gate
from msc.control.journal_desk import JournalCounter
from msc.control.monitor import Monitor
from msc.control.pipeline import Pipeline
from msc.control.retention_desk import RetentionCounter
from msc.control.routing_desk import RoutingCounter
from msc.control.sign_in import SignIn
from msc.control.socket import AdminSocket
from msc.control.switching_desk import SwitchingCounter
from msc.directory.store import DirectoryChanged, DirectoryStore, DirectoryUnavailable
from msc.errors import Fault, SiteError
from msc.journal.lookup import Lookup
from msc.journal.record import AuditRecord
from msc.journal.service import JournalOffice
from msc.limits import DIRECTORY_POLL_S, SWEEP_S
from msc.link.connection import Sweeper
from msc.link.line import UpstreamLine
from msc.link.station import Listener
from msc.lock import lock_site
from msc.log import get_logger
from msc.metrics import Metrics
from msc.pki.material import TlsMaterial
from msc.protocol.catalog import load_catalog
from msc.protocol.control import Hello
from msc.routing.plan import PlanFiles
from msc.settings import Settings
from msc.switch.assemble import assemble, assemble_orders
from msc.switch.orders.in_force import load_orders
from msc.switch.site_plan import PlanInForce, load_site_plan
from msc.switch.trunk import Trunk
from msc.transit.message import MessageRecord
from msc.transit.precedence import Precedence
from msc.transit.service_state import Services, load_services
from msc.transit.unanswered import Waiting

log = get_logger("daemon")


class Daemon:
    """A running switch."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.failed = False
        """Whether it stopped because something of ours broke."""
        self._sweeper = Sweeper()
        self._tasks: list[asyncio.Task[None]] = []
        self._lines: dict[str, UpstreamLine] = {}
        self._stopping = asyncio.Event()
        self._kept_on: date | None = None
        """The day whose calendar has been kept."""
        self._site_lock: FileIO | None = None

    # --- start ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything; when this returns, stations can connect.

        Raises:
            MSCError: What the operator must mend; nothing is left running.
        """
        self._site_lock = lock_site(self.settings)
        try:
            await self._start()
        except BaseException:
            self._site_lock.close()
            raise

    async def _start(self) -> None:
        settings = self.settings
        catalog = load_catalog(settings.path(settings.catalog.folder))
        services = Services()
        if settings.routes.service is not None:
            services = load_services(settings.path(settings.routes.service), {key.database for key in catalog})
        orders = load_orders(settings.orders_file)
        self.tls = TlsMaterial(settings.tls, settings.folder, self.metrics)

        self._directory_store = DirectoryStore(settings.database_url(settings.directory))
        await self._directory_store.open()
        revision = await self._directory_store.revision()
        directory = await self._directory_store.load()
        plan = load_site_plan(settings, catalog, directory)
        # What a switch that died had out is free again; whoever held it is asked to sign on anew.
        left = await self._directory_store.end_all_leases(clock.wall_us(), "the switch had stopped")
        rested = await self._directory_store.last_leases()
        self._journal = JournalOffice(settings, self.metrics)
        journal = self._journal
        self.writer = journal.writer
        await journal.open()

        terms = Terms(
            settings.access,
            settings.credentials,
            settings.device_classes,
            settings.password_policies,
            load_banned(settings.banned_passwords),
        )
        self.point = AccessControlPoint(directory, self._directory_store, self._audit, terms, rested)
        for lease in left:
            self.point.audit(lease_ended(lease, clock.wall_us(), "the switch had stopped"))
        self._follower = DirectoryFollower(
            self._directory_store, self.point, revision, self.writer, self._directory_changed
        )
        watch = MisuseWatch(
            directory, settings.misuse, load_high_profile(settings.high_profile), secrets.token_bytes(16)
        )
        self._glass: TakenUp | None = await self._take_up_glass(revision)
        self._review = MisuseReview(watch, self._directory_store, self._audit)
        parts = self.parts = assemble(
            settings,
            catalog=catalog,
            services=services,
            plan=plan,
            point=self.point,
            writer=self.writer,
            metrics=self.metrics,
            look=journal.life,
            line_states=lambda: {name: line.state for name, line in self._lines.items()},
            examine=self.tls.examine,
            watch=self._review.take,
        )
        self.deliveries, self.traffic, self.switch = parts.deliveries, parts.traffic, parts.switch
        self._lines = {
            line.name: UpstreamLine(
                line, self.tls.client_context, settings.switch.name, self.traffic, self._sweeper, self.tls.examine
            )
            for line in settings.line
        }
        recollection = await journal.recall(self._hear_again)
        self.traffic.connect(self._trunks())
        parts.recovery.take_up(recollection.recent, recollection.owed, recollection.unreadable)
        self.stations = parts.stations
        self._operations = assemble_orders(
            parts, catalog=catalog, point=self.point, orders=orders, file=settings.orders_file,
            stations=self.stations, lines=self._lines, records=Lookup(journal.searching.ask), durable=journal.durable,
        )  # fmt: skip
        # Before anybody can connect: what is held stays held, from the first message on.
        self._operations.begin()
        tls.report_refused_handshakes(self.tls.server_context, self.stations.handshake_refused)
        self.listener = Listener(
            settings.listener, self.tls.server_context, self._hello, self.stations, self._sweeper, self.metrics
        )
        self._monitor = Monitor(settings.monitor.host, settings.monitor.port, self.metrics, self._not_ready)
        gate = Gate(SignIn(directory, lambda: self.tls.trust), self.point.audit)
        pipeline = Pipeline(self.point.audit, self._journaled)
        self._admin = AdminSocket(
            settings.admin_socket, self.stations, lambda: self._follower.revision, gate, self.point.audit,
            JournalCounter(gate, journal.searching, directory, self.point.audit, self._journaled),
            RetentionCounter(gate, journal.keeper, pipeline),
            RoutingCounter(
                gate, PlanInForce(parts.intake, parts.redirection), PlanFiles.of(settings),
                partial(load_site_plan, settings, catalog, directory), catalog, directory, journal.searching,
                self.point.audit, pipeline,
            ),
            SwitchingCounter(gate, self._operations, pipeline),
            group=settings.admin.group,
        )  # fmt: skip
        self._gauges()

        self._sweeper.start()
        self._journal.run(self._spawn)
        try:
            self._admin.bind()
            self._monitor.bind()
            await self.listener.open()
        except OSError as exc:
            raise SiteError([Fault(settings.file, "listener or monitor", f"address in use? {exc}")]) from exc
        self._spawn(self._monitor.run(), "monitor")
        self._admin_task = self._spawn(self._admin.run(), "admin")
        self._spawn(self._keep_time(), "clock")
        self._spawn(self._keep_directory(), "directory")
        self.tls.report()
        self._tls_task = self._spawn(self.tls.run(self._end_untrusted), "certificates")
        self._line_tasks = [self._spawn(line.run(), line.name) for line in self._lines.values()]
        # What lives as long as the daemon need not be looked at by every collection.
        gc.collect()
        gc.freeze()
        # Messages make and drop many small objects, hardly any of them in cycles.
        gc.set_threshold(10_000, 10, 10)
        self.point.audit(AuditEvent(clock.wall_us(), "switch.started", detail=__version__))
        log.info("switch.started", version=__version__, keys=len(catalog), port=self.listener.port)

    def _hear_again(self, record: MessageRecord) -> None:
        """Remember what a line said in the hour before the start."""
        name = self.settings.destination_of(record.line or "")
        if name is None:
            return
        age_s = (clock.wall_us() - record.received) / 1e6
        self.parts.repeats.note(name, record.text, clock.monotonic() - age_s)
        if record.kind == "unsolicited":
            self.parts.services.recall(name, record.text.partition(".")[2], record.received)

    def _trunks(self) -> list[Trunk]:
        """Bring primary and backup lines together."""
        backups = {line.backup for line in self.settings.line}
        return [
            Trunk(
                [self._lines[name] for name in (line.name, line.backup) if name is not None],
                line.failback_s,
            )
            for line in self.settings.line
            if line.name not in backups
        ]

    async def _take_up_glass(self, revision: int) -> TakenUp:
        """Put what was read while no switch ran into the journal."""
        noted = [change for change in await self._directory_store.changes_since(revision) if not change.journaled]
        taken = break_glass.take_up(break_glass.glass_file(self.settings), self.tls.trust, noted)
        for event in taken.events:
            self.point.audit(event)
        self._glass_mark = self.writer.noted()
        return taken

    def _forget_glass(self) -> None:
        """Take it out of its file once the journal holds it."""
        if self._glass is None or not self.writer.holds(self._glass_mark):
            return
        try:
            break_glass.forget(break_glass.glass_file(self.settings), self._glass)
        except OSError as exc:
            # It stays where it is, and is journaled again at the next start: better twice than never.
            log.error("break_glass.not_forgotten", error=type(exc).__name__)
        self._glass = None

    def _hello(self) -> Hello:
        settings = self.settings
        return Hello(
            switch=settings.switch.name,
            node=settings.switch.node,
            time=clock.rfc3339(clock.wall_us()),
            banner=settings.switch.banner,
            frame_bytes_max=settings.listener.frame_bytes_max,
            window=settings.listener.window,
            heartbeat_s=settings.listener.heartbeat_s,
        )

    def _audit(self, event: AuditEvent) -> None:
        self.writer.note_audit(AuditRecord(*astuple(event))._replace(agency=self._agency_of(event)))
        self.metrics.audit_events[event.event] += 1
        # Subject, reason and what was changed may be a person's words, and those stand in the journal alone.
        log.info(
            "audit", event_name=event.event, device=event.device, user=event.user, source=event.source,
            code=event.code, detail=event.detail if event.subject is None else None,
        )  # fmt: skip

    async def _journaled(self, event: AuditEvent) -> bool:
        """Journal an event; returns whether it is durable."""
        if not self.writer.available:
            return False
        self.point.audit(event)
        return await self._journal.durable()

    def _agency_of(self, event: AuditEvent) -> str | None:
        """Tell whose event it is: the agency of what was acted upon, of the operator, user or device."""
        directory = self.point.directory
        kind, _, name = (event.subject or "").partition(" ")
        if kind == "agency":
            return name
        rows = (
            directory.users.get(name) if kind == "user" else None,
            directory.devices.get(name) if kind == "device" else None,
            directory.mnemonics.get(name) if kind == "mnemonic" else None,
            directory.operators.get(event.user or ""),
            directory.users.get(event.user or ""),
            directory.devices.get(event.device or ""),
        )
        return next((row.agency for row in rows if row is not None), None)

    def _not_ready(self) -> list[str]:
        reasons = []
        if not self.writer.available:
            reasons.append("the journal is not available")
        if self.switch.draining:
            reasons.append("the switch is shutting down")
        if self._lines and not any(line.is_open for line in self._lines.values()):
            reasons.append("no line is open")
        return reasons

    def _gauges(self) -> None:
        gauge = self.metrics.gauge
        gauge("msc_sessions", "Operators signed on and stations connected", "kind", lambda: {
            "operators": float(len(self.point.sessions)),
            "stations": float(len(self.listener.connections)),
        })  # fmt: skip
        gauge("msc_queue_depth", "Messages waiting", "queue", lambda: {
            **self.deliveries.depths(),
            "journal_rows": float(self.writer.waiting),
            "awaiting_answers": float(self.parts.transit.waiting),
        })  # fmt: skip
        gauge("msc_waiting", "Messages for stations and lines that are not on their way", "priority", self._waiting)
        gauge(
            "msc_oldest_unanswered_seconds", "Age of the inquiry that has waited longest", "queue", self._oldest_age
        )
        gauge("msc_line_queue_depth", "Messages a line has not acknowledged", "line", self.traffic.depths)
        gauge("msc_line_open", "Whether a line is open", "line", lambda: {
            name: float(line.is_open) for name, line in self._lines.items()
        })  # fmt: skip
        gauge("msc_line_unanswered_seconds", "Age of what a line has not answered for longest", "line", lambda: {
            name: clock.monotonic() - since for name, since in self.traffic.unanswered.oldest(Waiting.LINE).items()
        })  # fmt: skip
        gauge(
            "msc_unanswered_alarms",
            "Lines and mnemonics that have waited too long",
            "what",
            self.traffic.unanswered.counts,
        )
        gauge("msc_hit_confirmations_open", "Hit confirmations that nobody has answered", "state",
              self.parts.confirmations.open_by_state)  # fmt: skip
        gauge("msc_out_of_service", "What the state says is out of service", "line", self._out_of_service)
        gauge("msc_pool_free", "Free mnemonics of a pool", "pool", lambda: {
            name: float(free) for name, free in self.point.pools_free().items()
        })  # fmt: skip
        gauge("msc_certificate_expires_seconds", "How long a certificate or list is good for", "certificate",
              self.tls.expires_seconds)  # fmt: skip
        gauge("msc_journal_available", "Whether the journal can be written", "journal", lambda: {
            "journal": float(self.writer.available),
        })  # fmt: skip

    def _oldest_age(self) -> dict[str, float]:
        oldest = self.parts.transit.oldest()
        return {"inquiries": (clock.wall_us() - oldest.message.received) / 1e6 if oldest is not None else 0.0}

    def _waiting(self) -> dict[str, float]:
        outboxes = [*self.deliveries.outboxes.values(), *(trunk.outbox for trunk in self.traffic.trunks.values())]
        counts = Counter[Precedence]()
        for outbox in outboxes:
            counts.update(outbox.by_class())
        return {precedence.name.lower(): float(counts[precedence]) for precedence in Precedence}

    def _out_of_service(self) -> dict[str, float]:
        outages = self.parts.services.outages()
        return {name: float(sum(outage.line == name for outage in outages)) for name in self.traffic.trunks}

    def _spawn(self, work: Any, name: str) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.append(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """A task that ends by itself while we run is our fault: stop, so that a supervisor restarts us."""
        if not task.cancelled() and task.exception() is not None:
            log.error("daemon.task_failed", task=task.get_name(), exc_info=task.exception())
            self.failed = True
            self._stopping.set()

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.traffic.tick(clock.monotonic())
            self.parts.board.tick(clock.wall_us())
            self._operations.tick()
            self.deliveries.tick()
            self.writer.watch_clock()

    def _directory_changed(self) -> None:
        self.stations.directory_changed()
        self._review.refresh()

    async def _keep_directory(self) -> None:
        while True:
            try:
                await self.look_at_directory()
            except DirectoryUnavailable as exc:
                log.error("directory.unavailable", error=str(exc))
            await asyncio.sleep(DIRECTORY_POLL_S)

    async def look_at_directory(self) -> None:
        """Take up what commands changed, and do once a day what the calendar asks for.

        Raises:
            DirectoryUnavailable: The directory cannot be read or written.
        """
        # In this order: what the calendar asks for is worked out from the newest state, and a command that comes in
        # between is taken up by the next look before the calendar tries again.
        await self._follower.poll()
        await self._review.write()
        self._forget_glass()
        today = clock.today()
        if self._kept_on == today:
            return
        self.stations.note_use()
        changes = housekeeping.due(self.point.directory, self.settings.access, today)
        with contextlib.suppress(DirectoryChanged):
            await self._directory_store.change(
                changes, housekeeping.SWITCH, "idle", clock.wall_us(), self._follower.revision
            )
            self._kept_on = today

    def _end_untrusted(self) -> None:
        """End what is connected with a certificate that is revoked now, or has expired."""
        for station in list(self.listener.connections):
            self.stations.end_untrusted(station)
        for line in self._lines.values():
            if ended := line.end_untrusted():
                peer, objection = ended
                self.point.audit(AuditEvent(clock.wall_us(), objection.event, detail=f"{line.address}, {peer}"))

    # --- stop -------------------------------------------------------------------------------------

    def request_stop(self) -> None:
        """Begin to drain; called by SIGTERM and SIGINT."""
        self._stopping.set()

    async def run(self) -> None:
        """Start, serve until told to stop, drain, and stop.

        Raises:
            MSCError: It could not start.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_handle_loop_exception)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request_stop)
        await self.start()
        await self._stopping.wait()
        await self.stop()

    async def stop(self) -> None:
        """Drain for at most `drain_s`, then stop everything."""
        log.info("switch.draining")
        self.switch.draining = True
        self.listener.stop_accepting()
        deadline = clock.monotonic() + self.settings.switch.drain_s
        while self.switch.busy and clock.monotonic() < deadline:
            await asyncio.sleep(0.02)
        self.stations.sign_everybody_off("the switch is shutting down")
        await self.listener.close("the switch is shutting down")
        for task in (self._tls_task, *self._line_tasks):
            task.cancel()
        await asyncio.gather(self._tls_task, *self._line_tasks, return_exceptions=True)
        self.point.audit(AuditEvent(clock.wall_us(), "switch.stopped"))
        await self.point.close()
        self._monitor.stop()
        self._admin.stop()
        # What was being searched ends, and that stands in the journal too.
        await asyncio.gather(self._admin_task, return_exceptions=True)
        await self._journal.close()
        self._sweeper.stop()
        for task in self._tasks:
            if task.get_name() in ("clock", "directory"):
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._review.write()
            await self._follower.close()
            self._forget_glass()
        except DirectoryUnavailable as exc:
            log.error("directory.unavailable", error=str(exc))
        await self._directory_store.close()
        if self._site_lock is not None:
            self._site_lock.close()
        log.info("switch.stopped")


def _handle_loop_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the event loop has to say goes to the log. A failed handshake is the peer's fault, no traceback."""
    exception = context.get("exception")
    if isinstance(exception, (OSError, asyncio.TimeoutError)):
        log.warning("connection.failed", error=type(exception).__name__, detail=str(exception)[:200])
    else:
        log.error("loop.exception", message=context.get("message"), exc_info=exception)
