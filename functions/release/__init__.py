"""The rules. Pure: no clock, no randomness, no files, no sockets."""
