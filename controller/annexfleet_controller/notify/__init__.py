"""Who is told what, when, over which channel; `send` is the loop that delivers."""
