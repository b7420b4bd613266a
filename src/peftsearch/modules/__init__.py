"""HOW a choice changes a layer: module kinds, the layer that wraps a site, and the peft tuner."""
