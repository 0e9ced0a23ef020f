"""The commands as processes: what they print, what they return, and that nobody ever sees a traceback."""
