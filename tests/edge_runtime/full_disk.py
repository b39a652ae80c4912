"""Let a disk seem full to this process: no file of it may grow beyond a length."""

import resource
from contextlib import contextmanager


@contextmanager
def files_end_at(limit_bytes):
    """The error is EFBIG in place of ENOSPC; what comes before it is the same."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
