--- What of a buffer is meant: what is selected, the lines of a command, or the cursor.
local position = require('midfill.position')

local M = {}

---@alias midfill.Lines integer[] the first line and the last, from 1

---@param bufnr integer
---@param first integer
---@param last integer
---@param encoding string
---@return lsp.Range
local function whole_lines(bufnr, first, last, encoding)
  local length = #position.line(bufnr, last - 1)
  return {
    start = { line = first - 1, character = 0 },
    ['end'] = position.to_lsp(bufnr, last - 1, length, encoding),
  }
end

--- What is between two places of which the last belongs to it.
---@param bufnr integer
---@param one integer[] as `getpos` has it
---@param other integer[]
---@param encoding string
---@return lsp.Range
local function between(bufnr, one, other, encoding)
  if one[2] > other[2] or (one[2] == other[2] and one[3] > other[3]) then
    one, other = other, one
  end
  local line = position.line(bufnr, other[2] - 1)
  local last = math.min(other[3], #line)
  if last > 0 then
    -- The last byte of the character that begins there.
    last = last + vim.str_utf_end(line, last)
  end
  return {
    start = position.to_lsp(bufnr, one[2] - 1, one[3] - 1, encoding),
    ['end'] = position.to_lsp(bufnr, other[2] - 1, last, encoding),
  }
end

--- What is selected now, and ends Visual mode.
---@param bufnr integer
---@param mode string
---@param encoding string
---@return lsp.Range
local function selected(bufnr, mode, encoding)
  local one, other = vim.fn.getpos('v'), vim.fn.getpos('.')
  vim.cmd.normal({ args = { '\27' }, bang = true })
  if mode == 'v' then
    return between(bufnr, one, other, encoding)
  end
  return whole_lines(bufnr, math.min(one[2], other[2]), math.max(one[2], other[2]), encoding)
end

--- The range that is meant in the current window; an empty one is the cursor.
---@param encoding string
---@param lines midfill.Lines? what a command was given
---@return lsp.Range
function M.range(encoding, lines)
  local bufnr = vim.api.nvim_get_current_buf()
  local mode = vim.api.nvim_get_mode().mode
  if mode == 'v' or mode == 'V' or mode == '\22' then
    return selected(bufnr, mode, encoding)
  end
  if lines == nil then
    local row, column = unpack(vim.api.nvim_win_get_cursor(0))
    local place = position.to_lsp(bufnr, row - 1, column, encoding)
    return { start = place, ['end'] = place }
  end
  local one, other = vim.fn.getpos("'<"), vim.fn.getpos("'>")
  -- From Visual mode a command is only given the lines; of which the marks say more.
  if vim.fn.visualmode() == 'v' and one[2] == lines[1] and other[2] == lines[2] then
    return between(bufnr, one, other, encoding)
  end
  return whole_lines(bufnr, lines[1], lines[2], encoding)
end

return M
