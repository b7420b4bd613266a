"""METHODS, one file each, and the drivers that run them."""
