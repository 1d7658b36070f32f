"""The whole life of a file, on this machine alone: a drop zone, an embedded S3, the real agent, and one file brought back."""
