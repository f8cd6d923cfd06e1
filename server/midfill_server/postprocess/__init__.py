"""What is done to generated text before a person sees it: pure functions from text to text.

Owns: where a completion ends, given the text around it. Must never know: engines, LSP, threads.
"""

from midfill_server.postprocess.truncate import Cut, Site, truncate, visible, whole_lines

__all__ = ["Cut", "Site", "truncate", "visible", "whole_lines"]
