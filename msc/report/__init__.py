"""How what is found in the journal looks: as a list, a file, paper, a drawing, a chart.

Pure functions of entries as JSON has them (`Entry.as_json`), for the commands, which get them from the switch. What a
peer or a person wrote in them is text and nothing else: no markup, no order to a terminal, no formula.
"""
