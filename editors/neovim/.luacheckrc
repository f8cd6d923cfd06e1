std = 'luajit'
cache = false
codes = true
max_line_length = 100
-- Neovim's own: parts of it are there to be written to (vim.o, vim.b, ...).
globals = { 'vim' }
-- Annotations name types, which may be long.
max_comment_line_length = false
