"""Pages, tables and cards of runs and comparisons."""
