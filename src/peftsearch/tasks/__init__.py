"""Data sets as examples with splits, their text forms and their metrics."""
