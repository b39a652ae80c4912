"""Trying a candidate in a process of its own, on samples and on live requests."""
