"""The layouts and files of AdapterHub's `adapters` library."""
