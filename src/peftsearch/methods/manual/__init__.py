"""Registers the manual methods, which place one kind without a search."""

from peftsearch.methods.manual.settings import ManualSettings
from peftsearch.searches.method import MethodEntry, register_method

register_method(MethodEntry("lora", "LoRA of one rank on linear maps", ManualSettings))
register_method(MethodEntry("low_rank_adapter", "low-rank adapter after attention and FFN", ManualSettings))
register_method(MethodEntry("bitfit", "biases of linear maps and norms", ManualSettings))
register_method(MethodEntry("lnfit", "weights of norms", ManualSettings))
register_method(
    MethodEntry("adapter", "bottleneck adapter after attention and FFN (Houlsby et al. 2019)", ManualSettings)
)
register_method(MethodEntry("serial_adapter", "bottleneck adapter after the FFN", ManualSettings))
register_method(MethodEntry("parallel_adapter", "bottleneck adapter beside the FFN", ManualSettings))
register_method(MethodEntry("prefix", "trained keys and values in front of attention", ManualSettings))
register_method(MethodEntry("ia3", "trained scales of keys, values and FFN", ManualSettings))
register_method(MethodEntry("head", "the task head only, backbone frozen", ManualSettings))
register_method(MethodEntry("full", "every parameter of the model", ManualSettings))
