"""Writing ONNX models tensor by tensor from a checkpoint: graph, weight layouts, the conversion.

Owns: the graph and how weights are quantised in it. Must never know: how it is run.
"""
