"""Running sites, one for all tests of a module: making and starting one takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.site import Site


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A demo site with its switch and its simulated hosts running."""
    site = Site.make(tmp_path_factory.mktemp("county") / "site")
    try:
        site.quick_lines()
        site.serve()
        site.simulate()
        site.wait_lines()
        yield site
    finally:
        site.stop()
    assert_quiet(site)


@pytest.fixture(scope="module")
def lineside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A demo site whose lines have nothing at their other end: tests stand in for the state.

    IM.QM is answered within a second or not at all.
    """
    site = Site.make(tmp_path_factory.mktemp("lineside") / "site")
    try:
        site.quick_lines()
        site.edit("msc.toml", (r"# timeouts = [^\n]*", 'timeouts = { "IM.QM" = 1 }'))
        site.edit("msc.toml", (r"^drain_s = \d+", "drain_s = 1"))
        site.serve()
        yield site
    finally:
        site.stop()
    assert_quiet(site)


def assert_quiet(site: Site) -> None:
    """No process of a site may have written a traceback."""
    for process in site.processes:
        assert "Traceback" not in process.output, process.output
