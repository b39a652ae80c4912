"""The prediction log: a sample of what was asked and answered, kept on disk.

`log` is what the server sees; `sampler`, `backlog`, `writer`, `records`, `summary`
and `segments` write, `reader` and `command` read, and `frames` is what both agree on.

Source: docs/protocol.md, 12 "The prediction log"
"""
