"""Search methods and manual ones, one folder each."""
