"""The table and the page of a comparison."""
