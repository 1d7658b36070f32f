"""Candidates into archives: plan, reserve, build the tar in the spool, store and prove it, and hand it on to be released."""
