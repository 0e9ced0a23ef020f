"""The tests of MSC: one folder a room, one file a module."""
