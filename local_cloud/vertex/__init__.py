"""A stand-in for Vertex AI: models, endpoints and online prediction over REST.

It listens on two ports. The first is the region's host: the whole API, and
predictions of shared endpoints. The second is every dedicated host and every
Private Service Connect address: predictions alone. A request that names a
dedicated host in `Host` is for that host on either; see `kinds`.

`PUT /_faults` makes predictions fail on request, `GET /_faults` tells how often
they did, and `GET /_seen` what was asked; see `faults` and `control`:

    {"seed": 7, "faults": [
      {"status": 503, "headers": {"Retry-After": "1"}, "share": 0.3},
      {"endpoint": "2", "at": "body", "stall_s": 30, "count": 5}]}
"""
