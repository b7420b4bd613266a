"""Registers the manual methods, which place modules without a search."""

from peftsearch.methods.manual.manual_methods import MANUAL_METHODS
from peftsearch.methods.manual.settings import ManualSettings
from peftsearch.searches.method import MethodEntry, register_method

for name, method in MANUAL_METHODS.items():
    register_method(MethodEntry(name, method.description, ManualSettings))
register_method(MethodEntry("head", "the task head only, backbone frozen", ManualSettings))
register_method(MethodEntry("full", "every parameter of the model", ManualSettings))
