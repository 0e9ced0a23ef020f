"""Orders that hold until they are taken back: what is held, who takes over for whom, what is intercepted.

They stand in `data/orders.json`, because a switch that starts again must not send what an operator holds back. The
file is written whole, durably, before an order takes effect; one that is damaged keeps the switch from starting,
rather than letting out what is held.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from msc import clock
from msc.errors import Fault, OrdersError
from msc.limits import INTERCEPT_RULES_MAX, STANDING_ORDERS_MAX
from msc.routing.criteria import Criteria, CriteriaRow

_VERSION: Final = 1


class _Given(BaseModel):
    """Who gave an order, when and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    by: str
    at_us: int
    reason: str

    def as_json(self) -> dict[str, Any]:
        """Return it for who asks what is in force."""
        members = self.model_dump(by_alias=True)
        at_us = members.pop("at_us")
        return {**members, "at": clock.rfc3339(at_us)}


class Hold(_Given):
    """Nothing goes to an address: `line:NAME` or `device:NAME`."""

    address: str


class Alternate(_Given):
    """Another address takes over.

    Attributes:
        replaced: `device:NAME`, or `line:NAME` of a destination.
        to: A device, or one of the destination's lines.
        always: Also while the device is there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    replaced: str = Field(alias="for")
    to: str
    always: bool = False


class InterceptRule(_Given):
    """Messages that match wait for the operator."""

    name: str
    criteria: CriteriaRow

    def as_json(self) -> dict[str, Any]:
        """Return it for who asks what is in force."""
        return {**super().as_json(), "criteria": self.criteria.model_dump(exclude_defaults=True, mode="json")}

    def compiled(self) -> Criteria:
        """Return what it asks of a message."""
        return self.criteria.criteria()


class _OrdersFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    version: int = Field(ge=_VERSION, le=_VERSION)
    holds: list[Hold] = Field(default=[], max_length=STANDING_ORDERS_MAX)
    alternates: list[Alternate] = Field(default=[], max_length=STANDING_ORDERS_MAX)
    intercepts: list[InterceptRule] = Field(default=[], max_length=INTERCEPT_RULES_MAX)


class StandingOrders:
    """The orders in force. What is changed here is not in force before `save` has returned.

    Attributes:
        holds: By address.
        alternates: By the address they replace.
        intercepts: By name.
    """

    def __init__(
        self,
        holds: Mapping[str, Hold] | None = None,
        alternates: Mapping[str, Alternate] | None = None,
        intercepts: Mapping[str, InterceptRule] | None = None,
    ) -> None:
        self.holds = dict(holds or {})
        self.alternates = dict(alternates or {})
        self.intercepts = dict(intercepts or {})

    def __len__(self) -> int:
        return len(self.holds) + len(self.alternates) + len(self.intercepts)

    def copy(self) -> StandingOrders:
        """Return another to change."""
        return StandingOrders(self.holds, self.alternates, self.intercepts)


def load_orders(file: Path) -> StandingOrders:
    """Read the orders; where there is no file, there are none.

    Raises:
        OrdersError: The file cannot be read, or was damaged; with every fault.
    """
    try:
        content = _OrdersFile.model_validate(json.loads(file.read_bytes()))
    except FileNotFoundError:
        return StandingOrders()
    except OSError as exc:
        raise OrdersError([Fault(file, "", f"cannot be read: {exc.strerror}")]) from exc
    except (ValueError, RecursionError) as exc:
        raise OrdersError(_faults(file, exc)) from exc
    orders = StandingOrders(
        {hold.address: hold for hold in content.holds},
        {alternate.replaced: alternate for alternate in content.alternates},
        {rule.name: rule for rule in content.intercepts},
    )
    if len(orders) != len(content.holds) + len(content.alternates) + len(content.intercepts):
        raise OrdersError([Fault(file, "", "two orders are about the same")])
    return orders


def _faults(file: Path, exc: Exception) -> list[Fault]:
    """Say what is wrong with a file, and what to do."""
    remedy = "; mend it, or put it aside and give the orders anew"
    if isinstance(exc, ValidationError):
        return [Fault(file, ".".join(map(str, e["loc"])), e["msg"] + remedy) for e in exc.errors(include_input=False)]
    return [Fault(file, "", f"is not JSON{remedy}")]


def save_orders(orders: StandingOrders, file: Path) -> None:
    """Write the orders: whole or not at all, and durably.

    Raises:
        OrdersError: They cannot be written; what was there is still there.
    """
    content = {
        "version": _VERSION,
        **{
            name: [each.model_dump(mode="json", by_alias=True, exclude_defaults=True) for each in table.values()]
            for name, table in (
                ("holds", orders.holds), ("alternates", orders.alternates), ("intercepts", orders.intercepts),
            )
        },
    }  # fmt: skip
    beside = file.with_name(f".{file.name}.new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as writing:
            json.dump(content, writing, indent=2)
            writing.write("\n")
            writing.flush()
            os.fsync(writing.fileno())
        beside.replace(file)
        folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as exc:
        raise OrdersError([Fault(file, "", f"cannot be written, so nothing is changed: {exc.strerror}")]) from exc
