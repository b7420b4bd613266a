"""Sites of transformers without a model, and the design kinds' parameters from their definitions."""

from peftsearch.space import LINEAR_ROLES, NORM_ROLES, ONCE_PER_STACK, Preset, Role, SearchSpace, Site

SELF_ATTENTION = (Role.QUERY, Role.KEY, Role.VALUE, Role.ATTENTION_OUTPUT)
QUERY_VALUE = frozenset({Role.QUERY, Role.VALUE, Role.QUERY_KEY_VALUE})

PRESET = Preset(
    "designs",
    "adapter, prefix, BitFit and LoRA as designs use them",
    {
        "serial_adapter": frozenset({Role.FFN_OUT}),
        "prefix": frozenset({Role.VALUE, Role.QUERY_KEY_VALUE}),
        "bitfit": LINEAR_ROLES | (NORM_ROLES - ONCE_PER_STACK),
        "lora": QUERY_VALUE,
    },
    tuple(range(1, 65)),
    "Chen et al. 2023",
    "design_spaces",
)


def cost(kind: str, site: Site, rank: int) -> int:
    """Parameters: of two matrices and two biases, of keys and values, of a bias, of two matrices."""
    return {
        "serial_adapter": 2 * site.out_width * rank + rank + site.out_width,
        "prefix": 2 * site.out_width * rank,
        "bitfit": site.out_width,
        "lora": rank * (site.in_width + site.out_width),
    }[kind]


def stack_sites(stack: str = "encoder", *, num_layers: int, width: int, inner: int) -> list[Site]:
    """A stack of post-norm blocks between an embedding norm and a final norm."""

    def site(layer: int, role: Role, in_width: int = width, out_width: int = width) -> Site:
        return Site(stack, layer, role, f"{stack}.{layer}.{role}", in_width, out_width)

    sites = [site(0, Role.EMBEDDING_NORM), site(num_layers, Role.FINAL_NORM)]
    for layer in range(num_layers):
        sites += [site(layer, role) for role in (*SELF_ATTENTION, Role.ATTENTION_NORM, Role.FFN_NORM)]
        sites += [site(layer, Role.FFN_IN, width, inner), site(layer, Role.FFN_OUT, inner, width)]
    return sites


def make_space(sites: list[Site]) -> SearchSpace:
    """The design kinds over sites."""
    return SearchSpace.build(PRESET, sites=sites, cost=cost)
