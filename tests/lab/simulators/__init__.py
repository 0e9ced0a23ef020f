"""Tests of `msc.lab.simulators`."""
