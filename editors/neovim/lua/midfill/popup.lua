--- Neovim's popup menu: a suggestion beside it begins with the entry that is selected in it.
local position = require('midfill.position')

local M = {}

---@class midfill.Selected
---@field text string what the entry inserts
---@field column integer where that begins, in bytes

--- Which entry is selected, from 0; -1 if none is; nil without a menu.
---@return integer?
local function selected()
  if vim.fn.pumvisible() == 0 then
    return nil
  end
  return vim.fn.complete_info({ 'selected' }).selected
end

--- The text of the entry that is selected, if one is.
---@return string?
local function selected_word()
  local index = selected()
  if index == nil or index < 0 then
    return nil
  end
  -- Neovim copies all entries for that, which takes milliseconds where there are thousands.
  local entry = vim.fn.complete_info({ 'items' }).items[index + 1]
  return entry and entry.word
end

--- The entry that is selected and not in the text yet; nil if there is none.
---@param bufnr integer
---@param row integer from 0
---@param column integer of the cursor
---@return midfill.Selected?
function M.selected(bufnr, row, column)
  local word = selected_word()
  if word == nil then
    return nil
  end
  local before = position.line(bufnr, row):sub(1, column)
  if vim.endswith(before, word) then
    return nil
  end
  -- Neovim does not say where the word begins: the longest beginning of it that stands there.
  for length = math.min(#word, #before), 0, -1 do
    if vim.endswith(before, word:sub(1, length)) then
      return { text = word, column = column - length }
    end
  end
end

--- Whether the menu is open with nothing selected: then nobody knows what comes next.
---@return boolean
function M.is_undecided()
  return selected() == -1
end

--- Tells one state of the menu from another.
---@return string
function M.key()
  return ('%s %s'):format(selected() or '', selected_word() or '')
end

return M
