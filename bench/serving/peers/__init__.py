"""How each peer serves the models: as its documentation shows, and no worse.

Each runs in its own environment, so nothing here imports the rest of the bench.
"""
