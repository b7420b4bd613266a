"""Fine-tuning, evaluation and checkpoints."""
