"""Text to token ids and back, from the vocabulary a model file carries.

Owns: byte-level and SentencePiece BPE, their pre-tokenizers, streaming decode. Must never know:
prompt formats, graphs, devices. Control tokens never come out of text: callers place them by id.
"""

from midfill_engine.tokenizer.build import build_tokenizer
from midfill_engine.tokenizer.core import StreamDecoder, Tokenizer, load_tokenizer
from midfill_engine.tokenizer.huggingface import build_from_folder
from midfill_engine.tokenizer.index import TokenIndex

__all__ = [
    "StreamDecoder",
    "TokenIndex",
    "Tokenizer",
    "build_from_folder",
    "build_tokenizer",
    "load_tokenizer",
]
