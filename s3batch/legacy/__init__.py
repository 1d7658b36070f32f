"""What the original program left behind, brought in: its archives get manifests, and are then like ours."""
