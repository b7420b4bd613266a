"""The interfaces of search methods, and the two loops that run every method."""
