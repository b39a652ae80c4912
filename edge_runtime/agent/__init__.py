"""The update agent: one file per stage, and the pure state table."""
