"""How a journal of an earlier release becomes one of this release; see `msc.migration`.

A change of the tables of the whole in `msc.journal.database.schema` needs a new module here, and `HEAD` there its
number. The tests hold the two against each other.
"""
