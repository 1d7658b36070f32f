"""Dashboards: what is shipped is whole, asks for what is there, and arrives."""
