"""The command line: its words, and what it does without a server."""
