"""A site's settings, `msc.toml`. Every fault is found at once and told with file and key."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from msc import clock, limits
from msc.errors import Fault, SettingsError

Port = Annotated[int, Field(ge=0, le=65_535)]
DriverName = Literal["mtp", "stx"]
LogFormat = Literal["json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]
_SQLITE: Final = "sqlite+aiosqlite:///"
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]

SYSTEM_USE_BANNER = (
    "WARNING: You are accessing a criminal justice information system. Use is restricted to authorized "
    "persons for official purposes, is monitored, recorded and audited. Unauthorized use is prohibited "
    "and subject to criminal and civil penalties. Use of the system means consent to monitoring and "
    "recording. Federal, state and local law limits the use of this information for immigration enforcement."
)
"""CJIS AC-8 and PPP 1.6.1.D; a county puts its own counsel's text in its place."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SwitchSettings(_Table):
    """`[switch]`: who this switch is."""

    name: Name
    node: Name = "node-1"
    banner: str = SYSTEM_USE_BANNER
    drain_s: float = Field(default=limits.DRAIN_S, gt=0, le=300)


class ListenerSettings(_Table):
    """`[listener]`: where stations connect."""

    host: str = "127.0.0.1"
    port: Port
    window: int = Field(default=limits.STATION_WINDOW, ge=1, le=limits.WINDOW_MAX)
    heartbeat_s: float = Field(default=limits.HEARTBEAT_S, ge=1, le=600)
    frame_bytes_max: int = Field(
        default=limits.FRAME_BYTES_MAX,
        ge=limits.FRAME_BYTES_MIN_ALLOWED,
        le=limits.FRAME_BYTES_MAX_ALLOWED,
    )
    ack_s: float = Field(default=limits.ACK_S, ge=1, le=3_600)
    """How long a station may leave a message unanswered."""
    connections_max: int = Field(default=limits.CONNECTIONS_MAX, ge=1, le=100_000)
    idle_lock_s: int = Field(default=limits.IDLE_LOCK_S, ge=1)
    idle_end_s: int = Field(default=limits.IDLE_END_S, ge=1)


class TlsSettings(_Table):
    """`[tls]`: the switch's certificate, the authority it trusts and what that has revoked. Paths are relative to
    `msc.toml`.
    """

    ca: Path
    certificate: Path
    key: Path
    crl: Path = Path("certs/crl.pem")
    expiry_warning_days: int = Field(default=30, ge=1, le=365)


class RetentionSettings(_Table):
    """`[journal.retention]`: how long months are kept. PPP 1.6.2.B.1.c, 1.7.1.A: three years, so less is refused.

    What is deleted is gone: nothing is, unless `automatic` says so or an administrator does it.
    """

    years: int = Field(default=limits.JOURNAL_YEARS_MIN, ge=limits.JOURNAL_YEARS_MIN, le=100)
    automatic: bool = False


class FileWitnessSettings(_Table):
    """`[[journal.witness]]`, a file: each checkpoint is appended, best on a mount that this machine cannot change."""

    kind: Literal["file"]
    name: Name
    path: Path


class SyslogWitnessSettings(_Table):
    """`[[journal.witness]]`, a syslog server (RFC 5424): `udp://HOST:PORT`, `tcp://HOST:PORT` or `unix:///PATH`."""

    kind: Literal["syslog"]
    name: Name
    address: str = Field(pattern=r"^((udp|tcp)://(\[[0-9a-fA-F:.]+\]|[^/\s:]+):[0-9]{1,5}|unix:///\S+)$")


class HttpWitnessSettings(_Table):
    """`[[journal.witness]]`, a web server: each checkpoint is posted there; an answer of 200 to 299 confirms it.

    `ca` holds the authorities to trust, where it is not one of the system's.
    """

    kind: Literal["http"]
    name: Name
    url: str = Field(pattern=r"^https?://\S+$")
    ca: Path | None = None


WitnessSettings = Annotated[
    FileWitnessSettings | SyslogWitnessSettings | HttpWitnessSettings, Field(discriminator="kind")
]


class JournalSettings(_Table):
    """`[journal]`: a database by SQLAlchemy URL; a SQLite path is relative to `msc.toml`. And the keys that sign it.

    The public key's file holds those of earlier keys too.
    """

    url: str
    signing_key: Path = Path("certs/journal.key")
    public_key: Path = Path("certs/journal.pub")
    retention: RetentionSettings = RetentionSettings()
    witness: list[WitnessSettings] = []

    @field_validator("url")
    @classmethod
    def _known(cls, url: str) -> str:
        if not url.startswith((_SQLITE, "postgresql+asyncpg://")):
            raise ValueError(f"must begin with {_SQLITE} or postgresql+asyncpg://")
        return url

    @property
    def in_files(self) -> bool:
        """Whether it stands in SQLite files."""
        return self.url.startswith(_SQLITE)


class StoreSettings(_Table):
    """`[directory]`: a database by SQLAlchemy URL; a SQLite path is relative to `msc.toml`."""

    url: str

    @field_validator("url")
    @classmethod
    def _known(cls, url: str) -> str:
        if not url.startswith(_SQLITE):
            raise ValueError(f"must begin with {_SQLITE}")
        return url


class AccessSettings(_Table):
    """`[access]`: how long what is on file holds. Days; 0 means it is not asked for."""

    idle_account_days: int = Field(default=90, ge=1, le=366)
    idle_withdraw_days: int = Field(default=180, ge=1, le=732)
    idle_mnemonic_days: int = Field(default=274, ge=91, le=732)
    initial_training_days: int = Field(default=183, ge=1, le=366)
    training_days: int = Field(default=730, ge=1, le=1_098)
    dmv_statement_days: int = Field(default=365, ge=0, le=732)
    acknowledgement_days: int = Field(default=0, ge=0, le=732)
    review_days: int = Field(default=365, ge=1, le=732)
    user_id_rest_days: int = Field(default=365, ge=180, le=3_660)
    forbidden_purposes: frozenset[Annotated[str, Field(pattern=r"^[A-Z0-9]$")]] = frozenset()


class DeviceClassSettings(_Table):
    """`[device_class.NAME]`: idle limits in seconds; 0 means exempt. They only tighten those of `[listener]`."""

    idle_lock_s: int = Field(default=limits.IDLE_LOCK_S, ge=0)
    idle_end_s: int = Field(default=limits.IDLE_END_S, ge=0)
    sessions_max: int = Field(default=limits.SESSIONS_PER_USER, ge=1, le=1_000)
    """Sessions one person may have at devices of this class at once."""


# AC-11 and SC-10 exempt what dispatches, drives or only receives; N-LOCK wants mobile devices sooner.
DEVICE_CLASSES: Final[Mapping[str, DeviceClassSettings]] = MappingProxyType(
    {
        "workstation": DeviceClassSettings(),
        "mobile": DeviceClassSettings(idle_lock_s=600),
        "dispatch": DeviceClassSettings(idle_lock_s=0, idle_end_s=0),
        "vehicle": DeviceClassSettings(idle_lock_s=0, idle_end_s=0),
        "receive_only": DeviceClassSettings(idle_lock_s=0, idle_end_s=0),
    }
)


class PasswordPolicySettings(_Table):
    """`[password_policy.NAME]`: what a password must be. An agency names its policy in the directory."""

    chars_min: int = Field(default=limits.PASSWORD_CHARS_MIN, ge=limits.PASSWORD_CHARS_MIN, le=64)
    classes: int = Field(default=0, ge=0, le=4)
    """Of small letters, capitals, digits and others, how many must occur."""
    days: int = Field(default=0, ge=0, le=732)
    """How long it holds; 0 is without end."""
    history: int = Field(default=10, ge=0, le=24)
    """How many earlier ones may not come back."""


PASSWORD_POLICIES: Final[Mapping[str, PasswordPolicySettings]] = MappingProxyType(
    {
        # CJISSECPOL IA-5(1): eight characters and a banned list; no forced change, so no history either.
        "cjis": PasswordPolicySettings(history=0),
        # CJLEADS II.3.c-e: eight characters of four classes, changed every ninety days.
        "cjleads": PasswordPolicySettings(classes=4, days=90),
    }
)


class CredentialSettings(_Table):
    """`[credentials]`: the second factor, the cost of a password hash, the list of banned passwords.

    Raise the cost until one check takes 50 to 100 ms on the machine (`msc check` says what it takes): whoever steals
    the directory pays it for every guess. Hashes of a lower cost are renewed as their owners sign on.
    """

    second_factor: Literal["required", "if_enrolled"] = "required"
    memory_kib: int = Field(default=19_456, ge=19_456, le=1_048_576)
    time_cost: int = Field(default=2, ge=2, le=64)
    banned_passwords: Path | None = None


class MisuseSettings(_Table):
    """`[misuse]`: which messages are put on the list for review. None is ever held up by it."""

    own_name: bool = True
    own_surname: bool = True
    colleague: bool = True
    repeated: bool = True
    high_profile: Path | None = None
    """A file of names, one a line."""
    inquiries_per_hour: int = Field(default=120, ge=0, le=10_000)
    """More of one person are flagged; 0 is never."""


class CatalogSettings(_Table):
    """`[catalog]`: the folder of the message catalog."""

    folder: Path


class QueueSettings(_Table):
    """`[queue]`: how long what waits is kept, in seconds, by its kind; then it has expired."""

    inquiry_s: float = Field(default=300.0, ge=1, le=86_400)
    """On a line that the state, or an operator, has taken out of service. An answer that comes later helps nobody."""
    update_s: float = Field(default=86_400.0, ge=1, le=7 * 86_400)
    hit_confirmation_s: float = Field(default=600.0, ge=1, le=86_400)
    response_s: float = Field(default=7 * 86_400.0, ge=60, le=7 * 86_400)
    """Answers for who is not there."""
    administrative_s: float = Field(default=7 * 86_400.0, ge=60, le=7 * 86_400)
    """Messages to stations, and what comes unsolicited; then they go to the operator's queue."""
    bulletin_s: float = Field(default=86_400.0, ge=60, le=limits.BULLETIN_S_MAX)
    """On the bulletin board, where whoever posts it says nothing else."""
    broadcast_s: float = Field(default=86_400.0, ge=60, le=7 * 86_400)

    def of(self, kind: str) -> float:
        """Return how long a message is kept, by its function or by its envelope's kind."""
        name = _KEPT_AS.get(kind, "update")
        return float(getattr(self, f"{name}_s"))


_KEPT_AS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "inquiry": "inquiry",
        "hit_confirmation": "hit_confirmation",
        "response": "response",
        "status": "response",
        "unsolicited": "administrative",
        "administrative": "administrative",
        "broadcast": "broadcast",
    }
)


class AlarmSettings(_Table):
    """`[alarms]`: when something is an alarm."""

    unanswered_s: float = Field(default=limits.UNANSWERED_S, ge=1, le=3_600)
    """The age of the oldest inquiry that a line, or a mnemonic, waits for."""


class HitConfirmationSettings(_Table):
    """`[hit_confirmation]`: reminders before the ten minutes, or the hour, are over, and who is told besides."""

    remind_urgent_s: float = Field(default=limits.REMIND_URGENT_S, ge=1, lt=limits.HIT_CONFIRMATION_URGENT_S)
    remind_routine_s: float = Field(default=limits.REMIND_ROUTINE_S, ge=1, lt=limits.HIT_CONFIRMATION_ROUTINE_S)
    escalate_to: Name | None = None
    """The device that is told when a time is over; None is nobody."""
    escalate: dict[Name, Name] = {}
    """The same for one agency: its name, and a device."""

    def second_terminal(self, agency: str) -> str | None:
        """Return the device that is told besides the terminal concerned."""
        return self.escalate.get(agency, self.escalate_to)


class RoutesSettings(_Table):
    """`[routes]`: the route table, and the groups and the forwarding that belong to it; a site may have neither."""

    file: Path
    groups: Path | None = None
    forwarding: Path | None = None
    service: Path | None = None
    """What the state's service messages mean."""


class MonitorSettings(_Table):
    """`[monitor]`: metrics and health over HTTP; no authentication, so a loopback address only."""

    host: str = "127.0.0.1"
    port: Port

    @field_validator("host")
    @classmethod
    def _loopback(cls, host: str) -> str:
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise ValueError("must be a loopback address: the endpoint asks nobody who they are")
        return host


class AdminSettings(_Table):
    """`[admin]`: where commands reach the running switch, and which accounts of the machine may."""

    socket: Path | None = None
    """By default `admin.sock` beside the directory."""
    group: str | None = Field(default=None, min_length=1)
    """Its members may open the socket; who they are there is for a signature to say."""


class LogSettings(_Table):
    """`[log]`: to standard error."""

    level: LogLevel = "info"
    format: LogFormat = "json"


class LineSettings(_Table):
    """`[[line]]`: a line to a state host.

    `peer` is the URI name its certificate must hold. `backup` names the line that carries this one's traffic while it
    is out of service. From the day `expires` on the line is not connected any more.
    """

    name: Name
    host: str
    port: Port
    peer: str = Field(pattern=r"^msc://host/")
    driver: DriverName = "mtp"
    mode: Literal["production", "test"] = "production"
    backup: Name | None = None
    expires: date | None = None
    window: int = Field(default=256, ge=1, le=limits.WINDOW_MAX)
    heartbeat_s: float = Field(default=limits.HEARTBEAT_S, ge=1, le=600)
    ack_s: float = Field(default=limits.LINE_ACK_S, ge=1, le=120)
    failback_s: float = Field(default=limits.LINE_FAILBACK_S, ge=0, le=3_600)
    reconnect_first_s: float = Field(default=0.2, gt=0, le=60)
    reconnect_last_s: float = Field(default=15.0, gt=0, le=600)
    timeouts: dict[Annotated[str, Field(pattern=r"^[A-Z0-9.]*\*?$")], Annotated[float, Field(gt=0, le=3600)]] = {}
    """Time-outs that differ from the catalog's here: seconds by key, exact or with a trailing `*`."""

    def is_over(self, today: date) -> bool:
        """Whether its time has ended."""
        return self.expires is not None and self.expires <= today


class SimulatorSettings(_Table):
    """`[[simulator]]`: a stand-in for the state host at the end of a line, for demo and test."""

    name: Literal["state", "ncic"]
    line: Name
    certificate: Path
    key: Path
    delay_ms: float = Field(default=0.0, ge=0, le=60_000)
    seed: int = 1


class Settings(_Table):
    """All of `msc.toml`."""

    switch: SwitchSettings
    listener: ListenerSettings
    tls: TlsSettings
    journal: JournalSettings
    directory: StoreSettings
    catalog: CatalogSettings
    routes: RoutesSettings
    monitor: MonitorSettings
    queue: QueueSettings = QueueSettings()
    alarms: AlarmSettings = AlarmSettings()
    hit_confirmation: HitConfirmationSettings = HitConfirmationSettings()
    access: AccessSettings = AccessSettings()
    credentials: CredentialSettings = CredentialSettings()
    device_class: dict[Name, DeviceClassSettings] = {}
    password_policy: dict[Name, PasswordPolicySettings] = {}
    misuse: MisuseSettings = MisuseSettings()
    admin: AdminSettings = AdminSettings()
    log: LogSettings = LogSettings()
    line: list[LineSettings] = []
    simulator: list[SimulatorSettings] = []

    _file: Path = PrivateAttr(default=Path("msc.toml"))

    @property
    def file(self) -> Path:
        """Where the settings were read from."""
        return self._file

    @property
    def folder(self) -> Path:
        """The site's folder, which relative paths start from."""
        return self._file.parent

    @property
    def destinations(self) -> list[str]:
        """The names routes may name: of lines that are nobody's backup."""
        backups = {line.backup for line in self.line}
        return [line.name for line in self.line if line.name not in backups]

    def destination_of(self, name: str) -> str | None:
        """Return the destination a line carries: itself, or the line whose backup it is; None if there is no line."""
        whose = next((line.name for line in self.line if line.backup == name), None)
        return whose or next((line.name for line in self.line if line.name == name), None)

    @property
    def device_classes(self) -> dict[str, DeviceClassSettings]:
        """The device classes there are: the built-in ones, and what the site says of them or adds."""
        return {**DEVICE_CLASSES, **self.device_class}

    @property
    def banned_passwords(self) -> Path | None:
        """The site's list of banned passwords, or None for the one MSC brings."""
        file = self.credentials.banned_passwords
        return self.path(file) if file is not None else None

    @property
    def high_profile(self) -> Path | None:
        """The site's list of people whose records tempt the curious, or None."""
        file = self.misuse.high_profile
        return self.path(file) if file is not None else None

    @property
    def password_policies(self) -> dict[str, PasswordPolicySettings]:
        """The password policies there are: the built-in ones, and what the site says of them or adds."""
        return {**PASSWORD_POLICIES, **self.password_policy}

    @property
    def admin_socket(self) -> Path:
        """Where the administrative socket stands."""
        if self.admin.socket is not None:
            return self.path(self.admin.socket)
        return self.data_folder / "admin.sock"

    def path(self, path: Path) -> Path:
        """Resolve a path of the settings."""
        return self.folder / path

    def database(self, store: StoreSettings | JournalSettings) -> Path:
        """Return the file of a SQLite database."""
        return self.folder / store.url.removeprefix(_SQLITE)

    def database_url(self, store: StoreSettings | JournalSettings) -> str:
        """Return a database's URL, an SQLite database's with its path made absolute."""
        if not store.url.startswith(_SQLITE):
            return store.url
        return f"{_SQLITE}{self.database(store).resolve()}"

    @property
    def data_folder(self) -> Path:
        """Where the directory stands, and with it what a running switch leaves for commands to find."""
        return self.database(self.directory).parent

    @property
    def orders_file(self) -> Path:
        """Where operators' standing orders are kept."""
        return self.data_folder / "orders.json"


def salvage_settings(file: Path) -> Settings | None:
    """Read what can be used of faulty settings: what is wrong takes its default, so that the rest can be checked.

    Returns:
        None where too little is left.
    """
    try:
        raw = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    while True:
        try:
            settings = Settings.model_validate(raw)
        except ValidationError as exc:
            if not any(_forget(raw, error["loc"]) for error in exc.errors()):
                return None
        else:
            settings._file = file.resolve()
            return settings


def _forget(raw: Any, location: tuple[int | str, ...]) -> bool:
    """Take what a fault points at out of a document; tells whether it was there."""
    for step in location[:-1]:
        try:
            raw = raw[step]
        except (KeyError, IndexError, TypeError):
            return False
    try:
        del raw[location[-1]]
    except (KeyError, IndexError, TypeError):
        return False
    return True


def load_settings(file: Path) -> Settings:
    """Read `msc.toml`.

    Raises:
        SettingsError: With every fault found in it.
    """
    try:
        settings = Settings.model_validate(tomllib.loads(file.read_text("utf-8")))
    except FileNotFoundError as exc:
        raise SettingsError([Fault(file, "", "there is no such file")]) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError([Fault(file, "", f"cannot be read: {exc}")]) from exc
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError([Fault(file, "", f"is not TOML: {exc}")]) from exc
    except ValidationError as exc:
        raise SettingsError([Fault(file, ".".join(map(str, e["loc"])), e["msg"]) for e in exc.errors()]) from exc
    settings._file = file.resolve()
    faults = list(_line_faults(file, settings.line, clock.today()))
    names = [line.name for line in settings.line]
    witnesses = [witness.name for witness in settings.journal.witness]
    for name in sorted({name for name in witnesses if witnesses.count(name) > 1}):
        faults.append(Fault(file, "journal.witness.name", f"{name!r} stands twice"))
    for number, simulator in enumerate(settings.simulator):
        if simulator.line not in names:
            faults.append(Fault(file, f"simulator.{number}.line", f"there is no line {simulator.line!r}"))
    if settings.listener.idle_end_s < settings.listener.idle_lock_s:
        faults.append(Fault(file, "listener.idle_end_s", "is less than idle_lock_s"))
    if faults:
        raise SettingsError(faults)
    return settings


def _line_faults(file: Path, lines: list[LineSettings], today: date) -> Iterator[Fault]:
    """Yield what is wrong with the lines together, and with their dates."""
    names = [line.name for line in lines]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Fault(file, "line.name", f"{name!r} stands twice")
    for number, line in enumerate(lines):
        if line.backup is not None and (problem := _backup_problem(line, lines)):
            yield Fault(file, f"line.{number} ({line.name}).backup", problem)
        if line.mode == "test" and (problem := _end_problem(line.expires, today)):
            yield Fault(file, f"line.{number} ({line.name}).expires", problem)


def _backup_problem(line: LineSettings, lines: list[LineSettings]) -> str | None:
    backup = next((other for other in lines if other.name == line.backup), None)
    if backup is None:
        return f"there is no line {line.backup!r}"
    if backup.name == line.name:
        return "a line is not its own backup"
    if backup.mode != line.mode:
        # C-TEST: what is meant for a test host must never reach a production host, nor the other way round.
        return f"{backup.name!r} is a {backup.mode} line, this is a {line.mode} line"
    if backup.backup is not None:
        return f"{backup.name!r} has a backup itself; a backup has none"
    if others := [other.name for other in lines if other.backup == backup.name and other.name != line.name]:
        return f"{backup.name!r} is also the backup of {others[0]!r}; a line backs up one other at most"
    return None


def _end_problem(expires: date | None, today: date) -> str | None:
    if expires is None:
        return "a test line needs a day on which it ends (C-TEST)"
    if (expires - today).days > limits.TEST_DAYS_MAX:
        return f"a test line ends within a year, not on {expires} (C-TEST)"
    return None
