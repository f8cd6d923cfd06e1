"""The ways a model's bytes reach this machine: the hub, Python packages, a path of the user's.

Owns: reading bytes from one place or another, from a given offset on, and turning them into a
file whose sha256 is right. Must never know: where the store keeps a model, what a model is for,
or what the bytes mean.
"""

__all__: list[str] = []
