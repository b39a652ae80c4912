"""The agent's way to the network: capped, timed, held back when asked."""
