"""Rollouts, thought out: who is meant, in which waves, when, whether to go on, and what is to be done next."""
