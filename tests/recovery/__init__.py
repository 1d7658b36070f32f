"""Every recovery of docs/recovery.md, done for real."""
