"""Registers AdaLoRA."""

from peftsearch.methods.adalora.settings import AdaLoraSettings
from peftsearch.searches.method import MethodEntry, register_method

register_method(MethodEntry("adalora", "peft's AdaLoRA: ranks found in training (Zhang et al. 2023)", AdaLoraSettings))
