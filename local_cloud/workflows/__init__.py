"""A stand-in for Google Workflows: runs the very files in `workflows/`."""
