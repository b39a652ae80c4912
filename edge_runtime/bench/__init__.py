"""`edge-runtime bench`: how fast a server answers predictions of one's own model."""
