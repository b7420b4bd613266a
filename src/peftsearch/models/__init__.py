"""Where modules can go: any transformers model, read by its structure or by a family's table."""
