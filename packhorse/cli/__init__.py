"""The operator's command, `packhorse`."""
