"""A rollout played through before it is started: what would happen, when, and what the gate would say."""

from annexfleet_controller.waves.rehearsal.script import QUIET, Background, Mishap, Release, Script
from annexfleet_controller.waves.rehearsal.stage import Setting, rehearse
from annexfleet_controller.waves.rehearsal.story import Moment, Story

__all__ = ["QUIET", "Background", "Mishap", "Moment", "Release", "Script", "Setting", "Story", "rehearse"]
