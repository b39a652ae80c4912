"""What is served: loaded, proven, planned, and looked after."""
