--- Columns: Neovim counts bytes, a server what was agreed with it.
local M = {}

-- The functions for this take other arguments since 0.11.
local IS_NEW = vim.fn.has('nvim-0.11') == 1

--- How many of the server's units the first `byte` bytes of a line are.
---@param line string
---@param byte integer
---@param encoding string
---@return integer
function M.to_character(line, byte, encoding)
  byte = math.min(byte, #line)
  if encoding == 'utf-8' then
    return byte
  end
  if IS_NEW then
    return vim.str_utfindex(line, encoding, byte, false)
  end
  ---@diagnostic disable-next-line: param-type-mismatch
  local utf32, utf16 = vim.str_utfindex(line, byte)
  return encoding == 'utf-32' and utf32 or utf16
end

--- How many UTF-16 units a text is.
---@param text string
---@return integer
function M.utf16_length(text)
  return M.to_character(text, #text, 'utf-16')
end

--- A line of a buffer, empty where there is none.
---@param bufnr integer
---@param row integer from 0
---@return string
function M.line(bufnr, row)
  return vim.api.nvim_buf_get_lines(bufnr, row, row + 1, false)[1] or ''
end

--- A place as the protocol writes it.
---@param bufnr integer
---@param row integer from 0
---@param byte integer
---@param encoding string
---@return lsp.Position
function M.to_lsp(bufnr, row, byte, encoding)
  return { line = row, character = M.to_character(M.line(bufnr, row), byte, encoding) }
end

return M
