"""Filling: a synthetic county's years of traffic, for tests and measurements. Nobody and nothing in it exists."""
