"""Built-in tasks, one source a file."""
