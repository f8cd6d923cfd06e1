--- Where the user wants no suggestions for now. A pause ends with Neovim.
local status = require('midfill.status')

local M = {}

---@alias midfill.Scope
---| 'buffer'
---| 'filetype' all buffers of the filetype of this one
---| 'all'
---| 'hour' everywhere, and no longer than an hour

local SCOPES = { 'buffer', 'filetype', 'all', 'hour' }

local HOUR_MS = 3600 * 1000

---@type table<string, true>
local filetypes = {}
local is_all = false
---@type uv.uv_timer_t?
local hour

---@param scope string?
---@return midfill.Scope
local function checked(scope)
  scope = scope or 'all'
  if not vim.list_contains(SCOPES, scope) then
    local known = table.concat(SCOPES, ', ')
    error(('midfill: "%s" is nothing to pause: %s'):format(scope, known), 0)
  end
  return scope
end

---@param bufnr integer?
---@return integer
local function resolved(bufnr)
  return (bufnr == nil or bufnr == 0) and vim.api.nvim_get_current_buf() or bufnr
end

local function end_hour()
  if hour then
    hour:stop()
    hour:close()
    hour = nil
  end
end

local function begin_hour()
  end_hour()
  hour = assert(vim.uv.new_timer())
  hour:start(
    HOUR_MS,
    0,
    vim.schedule_wrap(function()
      end_hour()
      status.refresh()
    end)
  )
end

--- What is paused of that which concerns a buffer; nil if nothing is.
---@param bufnr integer?
---@return midfill.Scope?
function M.scope(bufnr)
  bufnr = resolved(bufnr)
  if is_all then
    return 'all'
  elseif hour then
    return 'hour'
  elseif vim.b[bufnr].midfill_enabled == false then
    return 'buffer'
  elseif filetypes[vim.bo[bufnr].filetype] and vim.b[bufnr].midfill_enabled == nil then
    return 'filetype'
  end
end

--- Whether anything keeps a buffer without suggestions.
---@param bufnr integer?
---@return boolean
function M.is_paused(bufnr)
  return M.scope(bufnr) ~= nil
end

--- How many milliseconds are left of a pause of an hour; nil if there is none.
---@return integer?
function M.left_ms()
  return hour and hour:get_due_in()
end

--- Begins a pause; without a scope, everywhere.
---@param scope midfill.Scope?
---@param bufnr integer?
function M.pause(scope, bufnr)
  scope, bufnr = checked(scope), resolved(bufnr)
  if scope == 'all' then
    is_all = true
  elseif scope == 'hour' then
    begin_hour()
  elseif scope == 'filetype' then
    filetypes[vim.bo[bufnr].filetype] = true
  else
    vim.b[bufnr].midfill_enabled = false
  end
  status.refresh()
end

--- Ends a pause; without a scope all that keep this buffer without suggestions.
---@param scope midfill.Scope?
---@param bufnr integer?
function M.resume(scope, bufnr)
  bufnr = resolved(bufnr)
  local ended = scope and checked(scope)
  if ended == nil or ended == 'all' then
    is_all = false
  end
  if ended == nil or ended == 'all' or ended == 'hour' then
    end_hour()
  end
  if ended == nil or ended == 'filetype' then
    filetypes[vim.bo[bufnr].filetype] = nil
  end
  if (ended == nil or ended == 'buffer') and vim.b[bufnr].midfill_enabled == false then
    vim.b[bufnr].midfill_enabled = nil
  end
  status.refresh()
end

--- Pauses what is not paused and the other way round; returns whether it is paused now.
---@param scope midfill.Scope?
---@param bufnr integer?
---@return boolean
function M.toggle(scope, bufnr)
  scope, bufnr = checked(scope), resolved(bufnr)
  local is_on = {
    all = is_all or hour ~= nil,
    hour = hour ~= nil,
    filetype = filetypes[vim.bo[bufnr].filetype] == true,
    buffer = vim.b[bufnr].midfill_enabled == false,
  }
  if is_on[scope] then
    M.resume(scope, bufnr)
  else
    M.pause(scope, bufnr)
  end
  return not is_on[scope]
end

status.is_paused = M.is_paused

return M
