"""The original program's archives, read, and hostile tars that only look like them."""
