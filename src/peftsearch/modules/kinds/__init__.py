"""Module kinds, one file each."""
