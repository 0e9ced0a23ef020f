"""Rules of forwarding over a directory that has changed since they were loaded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from msc.directory.rows import AnyRow, Mode
from msc.routing.forwarding import Alternate, When
from msc.switch.redirect import Redirection
from tests.support.county import county

DIRECTORY = county()


@pytest.mark.requirement("C-TAMF")
@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(
            replace(DIRECTORY.devices["desk-2"], staffed=False),
            marks=pytest.mark.requirement("C-STAFFED"),
            id="nobody is there by night any more",
        ),
        pytest.param(
            replace(DIRECTORY.mnemonics["A124"], mode=Mode.TEST),
            marks=pytest.mark.requirement("C-TEST"),
            id="it is for tests now",
        ),
    ],
)
def test_nothing_is_taken_to_a_device_that_must_not_have_it_any_more(changed: AnyRow) -> None:
    directory = county()
    redirection = Redirection(directory, lambda _address: 0.0)
    redirection.use_alternates([Alternate("desk-1", "desk-2", When.ALWAYS)])
    found = redirection("device:desk-1")
    assert found is not None and found.address == "device:desk-2"
    directory.replace([changed])
    assert redirection("device:desk-1") is None
