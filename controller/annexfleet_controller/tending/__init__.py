"""Annexes and devices as people tend them: changed, moved, closed, replaced, and what of it can be taken back."""
