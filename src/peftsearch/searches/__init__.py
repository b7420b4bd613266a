"""What every search method is, and the two loops that run them."""
