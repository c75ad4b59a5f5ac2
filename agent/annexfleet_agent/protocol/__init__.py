"""The contract between devices and the controller: topics, messages, names and limits.

Both packages import this room and nothing else of each other.  It stands on the standard library and msgspec.
Old agents and new controllers meet here, so a field is only ever added, and always with a default.
"""
