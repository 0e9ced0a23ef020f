"""Standing orders in their file: written whole, read back, and refused whole where the file was damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from msc.errors import OrdersError
from msc.routing.criteria import CriteriaRow
from msc.switch.orders.in_force import Alternate, Hold, InterceptRule, StandingOrders, load_orders, save_orders

GIVEN = {"by": "roe", "at_us": 1_000_000, "reason": "printer is broken"}

pytestmark = pytest.mark.requirement("F-AUDIT")


def orders() -> StandingOrders:
    rule = InterceptRule(name="watch", criteria=CriteriaRow(keys=("IV.*",), fields={"LIC": ("7*",)}), **GIVEN)
    alternate = Alternate.model_validate({"for": "device:a", "to": "device:b", "always": True, **GIVEN})
    return StandingOrders(
        {"line:a": Hold(address="line:a", **GIVEN)}, {alternate.replaced: alternate}, {rule.name: rule}
    )


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "orders.json"
    assert len(load_orders(file)) == 0, "where there is no file, there are none"
    save_orders(orders(), file)
    found = load_orders(file)
    assert (found.holds, found.alternates, found.intercepts) == (
        orders().holds, orders().alternates, orders().intercepts,
    )  # fmt: skip
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["orders.json"]
    save_orders(StandingOrders(), file)
    assert len(load_orders(file)) == 0


def test_a_file_that_cannot_be_written_leaves_the_one_there_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "orders.json"
    save_orders(orders(), file)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OrdersError, match="nothing is changed: No space left"):
        save_orders(StandingOrders(), file)
    assert len(load_orders(file)) == 3


WHOLE = {"version": 1, "holds": [{"address": "line:a", **GIVEN}]}
DAMAGED = {
    "torn": (json.dumps(WHOLE)[:-9], "is not JSON"),
    "empty": ("", "is not JSON"),
    "no object": ("[]", "valid dictionary"),
    "no version": ('{"holds": []}', "version: Field required"),
    "of a newer release": ('{"version": 2}', "version: "),
    "a member too many": (json.dumps({**WHOLE, "hold": []}), "hold: Extra inputs"),
    "an order of nobody": ('{"version": 1, "holds": [{"address": "line:a"}]}', "holds.0.by: Field required"),
    "the same twice": (json.dumps({**WHOLE, "holds": WHOLE["holds"] * 2}), "two orders are about the same"),  # type: ignore[operator]
    "deep": ("[" * 100_000, "orders.json"),
}


@pytest.mark.parametrize("way", DAMAGED)
def test_a_damaged_file_is_refused_with_what_is_wrong(tmp_path: Path, way: str) -> None:
    text, why = DAMAGED[way]
    file = tmp_path / "orders.json"
    file.write_text(text)
    with pytest.raises(OrdersError) as told:
        load_orders(file)
    assert why in str(told.value)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "orders.json"
    file.write_text('{"version": 1, "holds": [{}], "alternates": 7}')
    with pytest.raises(OrdersError) as told:
        load_orders(file)
    assert len(told.value.faults) == 5
