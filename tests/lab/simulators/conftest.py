"""What the tests of the stand-ins share: the shipped catalog, one data set, responders, certificates."""

from __future__ import annotations

from pathlib import Path

import pytest

from msc.lab.simulators.dataset import DataSet, make_dataset
from msc.lab.simulators.ncic import NcicResponder
from msc.lab.simulators.state import StateResponder
from msc.protocol.catalog import Catalog, load_catalog
from tests.support.authority import authority, certificates

__all__ = ["authority", "certificates"]

CATALOG = Path(__file__).parents[3] / "config" / "catalog"


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog(CATALOG)


@pytest.fixture(scope="session")
def data() -> DataSet:
    return make_dataset(1)


@pytest.fixture
def state(catalog: Catalog, data: DataSet) -> StateResponder:
    return StateResponder(catalog, data)


@pytest.fixture
def ncic(catalog: Catalog, data: DataSet) -> NcicResponder:
    return NcicResponder(catalog, data)
