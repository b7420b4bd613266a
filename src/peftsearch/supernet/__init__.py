"""Every choice attached at once: gates, rank masks, relaxations and sensitivity."""
