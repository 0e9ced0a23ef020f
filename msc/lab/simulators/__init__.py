"""Stand-ins for the state's host and for NCIC, for demo, test and load; every record in them is invented.

    subject    what a record is            dataset   1000 and more of each, from a seed
    specimen   the few to know by name     hot_file  the state's stolen vehicles, which entries change
    answer     how answers look            responder, state, ncic   which message draws which answer
    host, line_end   the end of a line     unsolicited, run         the process around it

None of it is the state's own format, which is not public: it stands in for it. What tells answers apart:
a hit has a line that begins with `MKE/`, no hit a line that begins with `NO RECORD`, an update taken a line
that begins with `ACCEPTED`, and a refused message begins with `ER.`.
"""
