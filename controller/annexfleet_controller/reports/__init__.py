"""A month of an annex, a district or the province in figures.  Thinks only."""

from annexfleet_controller.reports.figures import Figures
from annexfleet_controller.reports.merging import merged

__all__ = ["Figures", "merged"]
