"""Files on disk: which are finished, who is writing, and how originals are released."""
