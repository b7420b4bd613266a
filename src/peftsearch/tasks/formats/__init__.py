"""The built-in task formats, one file each."""
