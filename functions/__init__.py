"""The cloud side: one file for each deployed function, named after its stage."""
