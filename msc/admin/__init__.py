"""The service layer for those who run a switch: making and checking a site, watching it."""
