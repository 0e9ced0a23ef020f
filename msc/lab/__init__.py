"""The county that does not exist: simulators, demo, and filled journals. Nothing of the switch imports it."""
