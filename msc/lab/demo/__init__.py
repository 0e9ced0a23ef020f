"""The demo county and what happens in it."""
