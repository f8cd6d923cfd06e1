--- Neovim's popup menu: a suggestion beside it begins with the entry that is selected in it.
local M = {}

---@class midfill.Selected
---@field text string what the entry inserts
---@field column integer where that begins, in bytes

---@return { items: { word: string }[], selected: integer }?
local function info()
  if vim.fn.pumvisible() == 0 then
    return nil
  end
  return vim.fn.complete_info({ 'items', 'selected' })
end

--- The entry that is selected and not in the text yet; nil if there is none.
---@param bufnr integer
---@param row integer from 0
---@param column integer of the cursor
---@return midfill.Selected?
function M.selected(bufnr, row, column)
  local menu = info()
  local entry = menu and menu.selected >= 0 and menu.items[menu.selected + 1]
  if not entry then
    return nil
  end
  local line = vim.api.nvim_buf_get_lines(bufnr, row, row + 1, false)[1] or ''
  local before, word = line:sub(1, column), entry.word
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
  local menu = info()
  return menu ~= nil and menu.selected < 0
end

--- Tells one state of the menu from another.
---@return string
function M.key()
  local menu = info()
  local entry = menu and menu.items[menu.selected + 1]
  return menu and ('%d %s'):format(menu.selected, entry and entry.word or '') or ''
end

return M
