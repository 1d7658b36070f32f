"""Listeners of events, one file a sink."""
