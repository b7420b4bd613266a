"""Results for those who have never heard of peftsearch: one file a format, each exact or refused with its reasons."""

import peftsearch.exports.formats  # noqa: F401  registers them
