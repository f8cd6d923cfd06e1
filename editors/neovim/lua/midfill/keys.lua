--- The keys of insert mode. Where nothing is suggested, a key does what it did before.
local M = {}

---@class midfill.Key
---@field name string of the option, and of the function that is called
---@field about string
---@field applies fun(): boolean whether the key is ours now

local PREFIX = 'midfill: '

---@type table<string, { lhs: string, plug: string }>
local mapped = {}

--- Maps `lhs` to what `maparg` said of another key.
---@param mapping table<string, any>
---@param lhs string
local function put(mapping, lhs)
  mapping.lhs, mapping.lhsraw, mapping.lhsrawalt = lhs, vim.keycode(lhs), nil
  vim.fn.mapset('i', false, mapping)
end

--- Keeps what a key did before under a name; returns whether a user or plugin had mapped it.
---@param lhs string
---@param plug string
---@return boolean
local function keep(lhs, plug)
  local before = vim.fn.maparg(lhs, 'i', false, true) --[[@as table<string, any>]]
  if vim.tbl_isempty(before) or before.buffer == 1 then
    vim.keymap.set('i', plug, lhs, { desc = PREFIX })
    return false
  end
  put(before, plug)
  -- Neovim's own mapping of <Tab> only matters where there is a snippet.
  return not vim.startswith(before.desc or '', 'vim.snippet')
end

---@param keys string
---@param mode string as for `nvim_feedkeys`
local function feed(keys, mode)
  vim.api.nvim_feedkeys(keys, mode, false)
end

--- Gives a key its meaning, and keeps the one that it had.
---@param key midfill.Key
---@param lhs string
function M.map(key, lhs)
  local plug = ('<Plug>(midfill-before-%s)'):format(key.name)
  local was_mapped = keep(lhs, plug)
  local before = vim.keycode(plug)
  local act = ("<Cmd>lua require('midfill').%s()<CR>"):format(key.name)
  local close_and_act = vim.keycode('<C-x><C-z>' .. act)
  -- No `expr` mapping: those are looked up before the keys that came before have had an effect.
  vim.keymap.set('i', lhs, function()
    local has_popup = vim.fn.pumvisible() == 1
    -- A key that somebody gave to the popup menu stays the menu's while it is open.
    if not key.applies() or (has_popup and was_mapped) then
      feed(before, 'im')
    elseif has_popup then
      feed(close_and_act, 'in')
    else
      require('midfill')[key.name]()
    end
  end, { desc = PREFIX .. key.about })
  mapped[key.name] = { lhs = lhs, plug = plug }
end

---@param lhs string
---@param plug string
local function give_back(lhs, plug)
  local before = vim.fn.maparg(plug, 'i', false, true) --[[@as table<string, any>]]
  vim.keymap.del('i', plug)
  local now = vim.fn.maparg(lhs, 'i', false, true) --[[@as table<string, any>]]
  if not vim.startswith(now.desc or '', PREFIX) then
    return -- Somebody else has it by now.
  end
  vim.keymap.del('i', lhs)
  if before.desc ~= PREFIX then
    put(before, lhs)
  end
end

--- Gives all keys back.
function M.unmap()
  for _, entry in pairs(mapped) do
    give_back(entry.lhs, entry.plug)
  end
  mapped = {}
end

return M
