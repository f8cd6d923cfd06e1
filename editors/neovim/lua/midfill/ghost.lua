--- Draws a suggestion: virtual text from the cursor on, virtual lines below.
local position = require('midfill.position')

local M = {}

M.NAMESPACE = vim.api.nvim_create_namespace('midfill')

local GROUP = 'MidfillSuggestion'
-- One mark, so that text which grows is replaced in place.
local MARK = 1

-- Lines that are wider than the window go along when it scrolls to the side.
local OVERFLOW = vim.fn.has('nvim-0.11') == 1 and 'scroll' or nil

---@type { bufnr: integer, row: integer, column: integer, text: string }?
local shown

--- Defines the highlight group, where neither the user nor a colour scheme has.
---@param target string
function M.highlight(target)
  vim.api.nvim_set_hl(0, GROUP, { link = target, default = true })
end

--- A line as virtual text can show it: with spaces for its tabs.
---@param line string
---@param column integer the screen column in which it begins
---@return string
local function without_tabs(line, column)
  if not line:find('\t', 1, true) then
    return line
  end
  local parts = {}
  for text, tab in line:gmatch('([^\t]*)(\t?)') do
    column = column + vim.fn.strdisplaywidth(text, column)
    local width = tab == '' and 0 or vim.fn.strdisplaywidth('\t', column)
    column = column + width
    table.insert(parts, text .. (' '):rep(width))
  end
  return table.concat(parts)
end

---@param lines string[]
---@return [string, string][][]
local function virtual_lines(lines)
  return vim.tbl_map(function(line)
    -- An empty line must have some text to be shown.
    return { { line == '' and ' ' or without_tabs(line, 0), GROUP } }
  end, lines)
end

--- Shows `text` at the cursor of the current window, in place of what was shown.
---@param bufnr integer
---@param row integer from 0
---@param column integer in bytes
---@param text string
function M.show(bufnr, row, column, text)
  if
    shown
    and shown.bufnr == bufnr
    and shown.row == row
    and shown.column == column
    and shown.text == text
  then
    return
  end
  if shown and shown.bufnr ~= bufnr then
    M.clear()
  end
  local lines = vim.split(text, '\n', { plain = true })
  local line = position.line(bufnr, row)
  local suffix = line:sub(column + 1)
  local at = vim.fn.strdisplaywidth(line:sub(1, column))
  local first, place = without_tabs(lines[1], at), 'inline'
  if #lines > 1 and suffix ~= '' then
    -- What follows the cursor will stand behind the last line, so it is covered here.
    local spare = vim.fn.strdisplaywidth(suffix, at) - vim.fn.strdisplaywidth(first, at)
    first, place = first .. (' '):rep(math.max(0, spare)), 'overlay'
    lines[#lines] = lines[#lines] .. suffix
  end
  vim.api.nvim_buf_set_extmark(bufnr, M.NAMESPACE, row, column, {
    id = MARK,
    virt_text = { { first, GROUP } },
    virt_text_pos = place,
    virt_lines = #lines > 1 and virtual_lines(vim.list_slice(lines, 2)) or nil,
    virt_lines_overflow = OVERFLOW,
    hl_mode = 'combine',
  })
  shown = { bufnr = bufnr, row = row, column = column, text = text }
end

--- Shows nothing any more.
function M.clear()
  if shown and vim.api.nvim_buf_is_valid(shown.bufnr) then
    vim.api.nvim_buf_del_extmark(shown.bufnr, M.NAMESPACE, MARK)
  end
  shown = nil
end

--- Whether text is on the screen, in this buffer.
---@param bufnr integer
---@return boolean
function M.is_visible(bufnr)
  return shown ~= nil and shown.bufnr == bufnr
end

return M
