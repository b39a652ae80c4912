"""Prediction requests and answers on the wire: pure, and light to import."""
