"""How a journal of an earlier release becomes one of this release; see `msc.migration`.

A change of `msc.journal.database.schema` needs a new module here, and its `HEAD` the number. The tests hold the two
against each other.
"""
