"""One file for each outside service; nothing else knows it."""
