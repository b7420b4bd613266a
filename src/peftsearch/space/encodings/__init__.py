"""Encodings of a search space, one file or folder each."""
