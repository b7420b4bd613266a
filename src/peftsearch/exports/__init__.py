"""Export results to the formats of other tools; an export is exact, or it is refused with the reasons."""
