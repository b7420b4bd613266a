"""Supernets: a model with every choice attached, its gates, its architecture parameters and sensitivity scores."""
