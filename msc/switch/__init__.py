"""The use case: check, authorise, journal, acknowledge, route, send. Everything here runs on the event loop."""
