"""What a run or a comparison found, as pages, tables and cards."""
