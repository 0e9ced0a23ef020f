"""Tests of `msc.simulators`."""
