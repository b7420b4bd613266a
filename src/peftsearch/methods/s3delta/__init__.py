"""Registers S3Delta."""

from peftsearch.methods.s3delta.settings import S3DeltaSettings
from peftsearch.searches.method import Driver, MethodEntry, register_method

register_method(
    MethodEntry(
        "s3delta",
        "gates on modules of one rank under a global budget (Hu et al. 2022)",
        S3DeltaSettings,
        Driver.GATES,
        "peftsearch.methods.s3delta.method:S3Delta",
        space="s3delta_m",
    )
)
