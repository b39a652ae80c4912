"""Google's services on loopback, for the demo and the tests; never deployed.

No stand-in imports anything of the product: it must not share our mistakes.
`stack.py` starts them all, with the product's functions and gateways among them.
"""
