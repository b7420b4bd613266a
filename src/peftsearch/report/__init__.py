"""What a run found and whether it paid off: tables, figures and one HTML file."""
