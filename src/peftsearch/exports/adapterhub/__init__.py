"""What an adapter is in the words and files of AdapterHub's `adapters` library."""
