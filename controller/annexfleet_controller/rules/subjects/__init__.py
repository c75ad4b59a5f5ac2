"""From views to subjects: every value that a rule can ask of a device, a printer, a queue, a portal or an annex.

A value that cannot be known is None: of a device that cannot be heard, nothing is.  The table of derived values stands
in the README of the room `rules`.
"""
