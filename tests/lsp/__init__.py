"""The server as an independent client library meets it: pytest-lsp, over every transport."""
