"""Members brought back: requests, thaws, prices, delivery."""
