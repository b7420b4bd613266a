"""Results in the formats of other tools: each exact, or refused with its reasons."""
