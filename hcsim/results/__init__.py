"""What a study hands to the report, and summary.json."""

__all__ = [
    "allocation",
    "allocation_summary",
    "bounds",
    "existing",
    "flexible",
    "operate",
    "options",
    "planning",
    "planning_summary",
    "validation",
    "words",
    "year_plan",
]
