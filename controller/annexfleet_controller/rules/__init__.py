"""Readings in, verdicts out.  Thinks only; what lasts, and who is told, is for the room `alerts`."""
