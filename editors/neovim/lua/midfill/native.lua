--- Ghost text by Neovim's own inline completion, `vim.lsp.inline_completion`, which 0.12 brings.
---
--- What it lacks is added where our client's requests pass: they are given up when a newer one
--- follows, none is made where the user paused, and the server hears what was shown.
local accept = require('midfill.accept')

local M = {}

local METHOD = 'textDocument/inlineCompletion'
local NAMESPACE = 'nvim.lsp.inline_completion'
local INVOKED = 1

---@class midfill.native.Seam
---@field in_flight integer? the request that is not answered yet
---@field is_wanted boolean whether the next request is made by hand

---@type table<integer, midfill.native.Seam>
local seams = {}

--- Whether this Neovim has inline completion of its own.
---@return boolean
function M.is_available()
  return vim.lsp.inline_completion ~= nil
end

--- Whether something is shown in a buffer.
---@param bufnr integer
---@return boolean
function M.is_visible(bufnr)
  local namespace = vim.api.nvim_get_namespaces()[NAMESPACE]
  if namespace == nil then
    return false
  end
  return #vim.api.nvim_buf_get_extmarks(bufnr, namespace, 0, -1, { limit = 1 }) > 0
end

---@param client vim.lsp.Client
---@param bufnr integer
---@param result lsp.InlineCompletionItem[]|lsp.InlineCompletionList?
local function tell_what_is_shown(client, bufnr, result)
  local items = result and (result.items or result)
  if items and items[1] and M.is_visible(bufnr) then
    client:notify('textDocument/didShowCompletion', { item = items[1] })
  end
end

--- Lets all inline completion requests of `client` pass through here.
---@param client vim.lsp.Client
---@param may_ask fun(bufnr: integer): boolean whether something may be suggested there unasked
local function watch(client, may_ask)
  ---@type midfill.native.Seam
  local seam = { is_wanted = false }
  seams[client.id] = seam
  local request = client.request
  ---@diagnostic disable-next-line: duplicate-set-field
  client.request = function(self, method, params, handler, bufnr)
    if method ~= METHOD then
      return request(self, method, params, handler, bufnr)
    end
    bufnr = (bufnr == nil or bufnr == 0) and vim.api.nvim_get_current_buf() or bufnr
    M.give_up(self)
    if seam.is_wanted then
      seam.is_wanted = false
      params.context.triggerKind = INVOKED
    elseif not may_ask(bufnr) then
      return false
    end
    local id
    local function answered(err, result, context)
      -- An answer to a request that was given up would be shown at a cursor that has moved on.
      if id ~= seam.in_flight then
        return
      end
      seam.in_flight = nil
      handler(err, result, context)
      tell_what_is_shown(self, bufnr, result)
    end
    local ok
    ok, id = request(self, method, params, answered, bufnr)
    seam.in_flight = id
    return ok, id
  end
end

--- Gives up what `client` was asked for last.
---@param client vim.lsp.Client
function M.give_up(client)
  local seam = seams[client.id]
  if seam and seam.in_flight then
    local id = seam.in_flight
    seam.in_flight = nil
    client:cancel_request(id)
  end
end

--- Has Neovim show the suggestions of `client`, in all buffers that it is attached to by now.
---@param client vim.lsp.Client
---@param may_ask fun(bufnr: integer): boolean whether something may be suggested there unasked
function M.attach(client, may_ask)
  if seams[client.id] == nil then
    watch(client, may_ask)
  end
  -- By client and not by buffer: other servers' suggestions are for the user to switch on.
  vim.lsp.inline_completion.enable(true, { client_id = client.id })
end

--- How a range names its start has changed while Neovim 0.12 was made.
---@param range table
---@return integer
local function start_column(range)
  return range.start_col or range.start.col
end

--- Inserts at the cursor what `shorten` leaves of what is still to come of an item.
---@param item table
---@param shorten fun(rest: string): string
local function insert(item, shorten)
  local column = vim.api.nvim_win_get_cursor(0)[2]
  local first = item.range and start_column(item.range) or column
  -- What was typed already, up to the cursor, is the beginning of the text.
  local typed = vim.api.nvim_get_current_line():sub(first + 1, column)
  local text = item.insert_text
  if type(text) ~= 'string' or not vim.startswith(text, typed) then
    return
  end
  local rest = text:sub(#typed + 1)
  local part = shorten(rest)
  accept.insert(part)
  if seams[item.client_id] then
    local length = part ~= rest and #typed + #part or nil
    accept.tell({ insertText = text, command = item.command }, length)
  elseif part == rest and item.command then
    -- Neovim was told to show what another server suggests, too.
    vim.lsp.get_client_by_id(item.client_id):exec_cmd(item.command)
  end
end

--- Accepts what `shorten` leaves of the text; false: there is nothing to accept.
---@param shorten fun(rest: string): string
---@return boolean
function M.accept(shorten)
  -- Neovim's own way replaces the range of the answer, and with it what was typed since.
  return vim.lsp.inline_completion.get({
    on_accept = function(item)
      insert(item, shorten)
    end,
  })
end

--- Shows the alternative that is `count` further.
---@param count integer
function M.select(count)
  vim.lsp.inline_completion.select({ count = count })
end

--- Hides what is shown, and gives up what is being computed.
---@param client vim.lsp.Client?
function M.dismiss(client)
  -- Accepting into nothing is the one public way to have it forgotten.
  vim.lsp.inline_completion.get({ on_accept = function() end })
  if client then
    M.give_up(client)
  end
end

--- Asks by hand, at the cursor.
---@param client vim.lsp.Client
---@param bufnr integer
function M.trigger(client, bufnr)
  local seam = seams[client.id]
  if seam == nil then
    return
  end
  seam.is_wanted = true
  -- There is no function for it: Neovim asks whenever the cursor moved.
  vim.api.nvim_exec_autocmds('CursorMovedI', { buffer = bufnr, modeline = false })
end

return M
