"""Our server and its peers in one ring: `python -m bench.serving --help`.

Every server serves the same ONNX models with one onnxruntime thread. Servers
take turns in short windows of load, so that other work on the machine hits all
alike, and are compared within a round by the CPU time of their process tree.
"""
