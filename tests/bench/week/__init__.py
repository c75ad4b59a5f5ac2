"""A labelled week: a province that is thought up, its real messages, the real watch, and what should have been found."""
