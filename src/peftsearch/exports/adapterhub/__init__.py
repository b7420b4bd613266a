"""The places and files of AdapterHub's `adapters` library."""
