"""Model families, one table a file."""
