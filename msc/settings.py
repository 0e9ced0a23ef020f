"""A site's settings, `msc.toml`. Every fault is found at once and told with file and key."""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from msc import limits
from msc.errors import Fault, SettingsError
from msc.log import LogFormat, LogLevel

Port = Annotated[int, Field(ge=0, le=65_535)]
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


class StoreSettings(_Table):
    """`[journal]` and `[directory]`: a database by SQLAlchemy URL; a SQLite path is relative to `msc.toml`."""

    url: str

    @field_validator("url")
    @classmethod
    def _known(cls, url: str) -> str:
        if not url.startswith("sqlite+aiosqlite:///"):
            raise ValueError("must begin with sqlite+aiosqlite:///")
        return url


class CatalogSettings(_Table):
    """`[catalog]`: the folder of the message catalog."""

    folder: Path


class RoutesSettings(_Table):
    """`[routes]`: the route table."""

    file: Path


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


class LogSettings(_Table):
    """`[log]`: to standard error."""

    level: LogLevel = "info"
    format: LogFormat = "json"


class LineSettings(_Table):
    """`[[line]]`: a line to a state host.

    `peer` is the URI name its certificate must hold.
    """

    name: Name
    host: str
    port: Port
    peer: str = Field(pattern=r"^msc://host/")
    mode: Literal["production", "test"] = "production"
    window: int = Field(default=256, ge=1, le=limits.WINDOW_MAX)
    heartbeat_s: float = Field(default=limits.HEARTBEAT_S, ge=1, le=600)
    reconnect_first_s: float = Field(default=0.2, gt=0, le=60)
    reconnect_last_s: float = Field(default=15.0, gt=0, le=600)


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
    journal: StoreSettings
    directory: StoreSettings
    catalog: CatalogSettings
    routes: RoutesSettings
    monitor: MonitorSettings
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

    def path(self, path: Path) -> Path:
        """Resolve a path of the settings."""
        return self.folder / path

    def database(self, store: StoreSettings) -> Path:
        """Return the file of a SQLite database."""
        return self.folder / store.url.removeprefix("sqlite+aiosqlite:///")

    def database_url(self, store: StoreSettings) -> str:
        """Return a database's URL with its path made absolute."""
        return f"sqlite+aiosqlite:///{self.database(store).resolve()}"


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
    faults = []
    names = [line.name for line in settings.line]
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.append(Fault(file, "line.name", f"{name!r} stands twice"))
    for number, simulator in enumerate(settings.simulator):
        if simulator.line not in names:
            faults.append(Fault(file, f"simulator.{number}.line", f"there is no line {simulator.line!r}"))
    if settings.listener.idle_end_s < settings.listener.idle_lock_s:
        faults.append(Fault(file, "listener.idle_end_s", "is less than idle_lock_s"))
    if faults:
        raise SettingsError(faults)
    return settings
