"""AdaLoRA's settings."""

from peftsearch.methods.adalora.settings import AdaLoraSettings
from peftsearch.searches.method import METHODS, MethodEntry

METHODS.add("adalora", MethodEntry("peft's AdaLoRA: ranks found in training (Zhang et al. 2023)", AdaLoraSettings))
