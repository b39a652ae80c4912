"""A small OCI registry that announces pushes as Artifact Registry does."""
