"""Plain LoRA: what of an adapter peft's LoRA can express, and its files."""
