"""What the command `annexfleet` does, one module a subject.

Each module adds its subcommands to the parser in `add`, and imports what it works with only when it is called: so
`annexfleet --help` is quick, and a part that is broken does not take the others with it.
"""
