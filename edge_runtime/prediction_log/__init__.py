"""The prediction log: a sample of what was asked and answered, kept on disk.

`log` is what the server sees; `backlog`, `writer`, `records` and `segments` write,
`reader` and `command` read, and `frames` is what both agree on. What a record says
of a prediction is in `packhorse.inference.prediction`.

Source: docs/protocol.md, 12 "The prediction log"
"""
