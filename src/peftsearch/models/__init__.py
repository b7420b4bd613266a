"""Load transformers models, and find the sites for modules by a family's table or by the model's structure."""
