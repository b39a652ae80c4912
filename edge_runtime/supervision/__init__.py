"""Who serves: starts, readies, switches, watches and replaces workers."""
