"""Plain LoRA: an adapter in the form of peft's LoRA, if that is exact, and its files."""
