"""`make demo`: two real releases of a real model travel the whole path."""
