"""Settings of the manual configurations."""

from peftsearch.methods.manual.settings import ManualSettings
from peftsearch.searches.method import METHODS, MethodEntry

METHODS.add("lora", MethodEntry("LoRA of one rank on linear maps", ManualSettings))
METHODS.add("low_rank_adapter", MethodEntry("low-rank adapter after attention and FFN", ManualSettings))
METHODS.add("bitfit", MethodEntry("biases of linear maps and norms", ManualSettings))
METHODS.add("lnfit", MethodEntry("weights of norms", ManualSettings))
METHODS.add("adapter", MethodEntry("bottleneck adapter after attention and FFN (Houlsby et al. 2019)", ManualSettings))
METHODS.add("serial_adapter", MethodEntry("bottleneck adapter after the FFN", ManualSettings))
METHODS.add("parallel_adapter", MethodEntry("bottleneck adapter beside the FFN", ManualSettings))
METHODS.add("prefix", MethodEntry("trained keys and values in front of attention", ManualSettings))
METHODS.add("ia3", MethodEntry("trained scales of keys, values and FFN", ManualSettings))
METHODS.add("head", MethodEntry("the task head only, backbone frozen", ManualSettings))
METHODS.add("full", MethodEntry("every parameter of the model", ManualSettings))
