"""Writing ONNX models tensor by tensor from GGUF: graph, weight layouts, the conversion itself.

Owns: the graph and how weights are quantised in it. Must never know: how it is run.
"""
