--- Where suggestions are made: in which buffers, and when in them.
local config = require('midfill.config')
local pause = require('midfill.pause')

local M = {}

---@param bufnr integer
---@return boolean
local function is_chosen(bufnr)
  local choice = vim.b[bufnr].midfill_enabled
  if choice ~= nil then
    -- A pause of the buffer is no reason to leave the server: it may be asked by hand.
    return true
  end
  local current = config.current()
  local by_filetype = current.filetypes[vim.bo[bufnr].filetype]
  if by_filetype == nil then
    by_filetype = current.filetypes['*']
  end
  if by_filetype == false then
    return false
  end
  if type(current.enabled) == 'boolean' then
    return current.enabled --[[@as boolean]]
  end
  return current.enabled(bufnr) and true or false
end

--- Whether the server is to know a buffer.
---@param bufnr integer
---@return boolean
function M.may_attach(bufnr)
  return vim.api.nvim_buf_is_loaded(bufnr)
    -- Those of other plugins, terminals, help.
    and vim.bo[bufnr].buftype == ''
    -- Without a name, two of them would be one document.
    and vim.api.nvim_buf_get_name(bufnr) ~= ''
    and is_chosen(bufnr)
end

--- Whether text may be inserted at the cursor of the current window.
---@param bufnr integer
---@return boolean
function M.may_insert(bufnr)
  local mode = vim.api.nvim_get_mode().mode
  return bufnr == vim.api.nvim_get_current_buf()
    -- Insert mode, perhaps with the popup menu; never Replace mode.
    and (mode == 'i' or mode == 'ic' or mode == 'ix')
    and vim.bo[bufnr].modifiable
    and not vim.bo[bufnr].readonly
    -- What is accepted is in no macro, and while one runs nobody reads.
    and vim.fn.reg_recording() == ''
    and vim.fn.reg_executing() == ''
end

--- Whether the server may be asked unasked.
---@param bufnr integer
---@return boolean
function M.may_ask(bufnr)
  return config.current().auto_trigger and not pause.is_paused(bufnr) and M.may_insert(bufnr)
end

return M
