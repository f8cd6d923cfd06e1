--- The suggestion at the cursor: asking for it, keeping it while it is typed along, alternatives.
---
--- There is at most one, where the cursor of the current window is. Its text begins at an anchor;
--- what stands between anchor and cursor is typed already, and the rest is what is shown.
local client = require('midfill.client')
local ghost = require('midfill.ghost')
local places = require('midfill.places')
local popup = require('midfill.popup')
local position = require('midfill.position')

local M = {}

local METHOD = 'textDocument/inlineCompletion'
local INVOKED, AUTOMATIC = 1, 2
local CLOSERS = '^[%)%]}>"\'`]+$'

---@class midfill.Item as the server sends it, and is told of it again
---@field insertText string
---@field command lsp.Command? what tells the server that it was accepted

---@class midfill.Suggestion
---@field bufnr integer
---@field row integer of the anchor, from 0
---@field column integer of the anchor, in bytes
---@field suffix string what follows the cursor on its line
---@field items midfill.Item[]
---@field index integer which of them is shown

---@class midfill.Request
---@field id integer?
---@field client_id integer
---@field bufnr integer
---@field place string where it was made
---@field row integer of the answer's start
---@field column integer
---@field is_invoked boolean
---@field step integer by how many alternatives to go on once they are there

---@type midfill.Suggestion?
local current
---@type midfill.Request?
local in_flight
---@type table<string, true> those of the items that the server knows to be shown
local told_shown = {}
---@type string? where the last look was taken
local seen

---@return integer bufnr
---@return integer row from 0
---@return integer column
local function cursor()
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  return vim.api.nvim_get_current_buf(), row - 1, column
end

--- Tells where the cursor is in which text, beside which menu.
---@return string
local function here()
  local bufnr, row, column = cursor()
  local tick = vim.api.nvim_buf_get_changedtick(bufnr)
  return ('%d %d %d %d %s'):format(bufnr, tick, row, column, popup.key())
end

--- What a plugin has closed behind the cursor since, because its beginning was typed; nil if what
--- stands there has changed otherwise.
---@param suffix string
---@param now string
---@return string?
local function closed_since(suffix, now)
  local closed = vim.endswith(now, suffix) and now:sub(1, #now - #suffix)
  return closed and (closed == '' or closed:find(CLOSERS)) and closed or nil
end

--- What is still to come of the text that is chosen; nil if it does not fit what stands there.
---@return string? rest
---@return string? typed what of the text stands before the cursor
local function rest()
  if current == nil then
    return nil
  end
  local bufnr, row, column = cursor()
  if bufnr ~= current.bufnr or row < current.row then
    return nil
  end
  if row == current.row and column < current.column then
    return nil
  end
  local closed = closed_since(current.suffix, position.line(bufnr, row):sub(column + 1))
  local text = current.items[current.index].insertText
  if closed == nil or not vim.endswith(text, closed) then
    return nil
  end
  text = text:sub(1, #text - #closed)
  local typed = table.concat(
    vim.api.nvim_buf_get_text(bufnr, current.row, current.column, row, column, {}),
    '\n'
  )
  if #typed < #text and vim.startswith(text, typed) then
    return text:sub(#typed + 1), typed
  end
end

---@param item midfill.Item
---@return string?
local function id_of(item)
  return vim.tbl_get(item, 'command', 'arguments', 1)
end

---@param item midfill.Item
local function tell_shown(item)
  local id = id_of(item)
  if id == nil or told_shown[id] then
    return
  end
  told_shown[id] = true
  client.notify('textDocument/didShowCompletion', { item = item })
end

local function forget()
  current = nil
  ghost.clear()
end

--- Shows what is left of the suggestion at the cursor, or nothing where it does not fit.
local function show()
  local text = rest()
  if text == nil or current == nil then
    forget()
    return
  end
  local bufnr, row, column = cursor()
  ghost.show(bufnr, row, column, text)
  tell_shown(current.items[current.index])
end

local function give_up()
  local request = in_flight
  in_flight = nil
  if request and request.id then
    client.cancel(request.client_id, request.id)
  end
end

--- Takes texts that begin where a request said.
---@param request midfill.Request
---@param items midfill.Item[]
local function take(request, items)
  local _, row, column = cursor()
  local before = current and current.items[current.index].insertText
  local still_told = {}
  for _, item in ipairs(items) do
    -- A text that has grown is the item that it was.
    local id = id_of(item)
    if id then
      still_told[id] = told_shown[id]
    end
  end
  told_shown = still_told
  current = {
    bufnr = request.bufnr,
    row = request.row,
    column = request.column,
    suffix = position.line(request.bufnr, row):sub(column + 1),
    items = items,
    index = 1,
  }
  if request.step ~= 0 and before then
    -- Who asked for another text goes on from the one that was shown.
    for index, item in ipairs(items) do
      if item.insertText == before then
        current.index = (index - 1 + request.step) % #items + 1
      end
    end
  end
  show()
end

---@param request midfill.Request
---@return boolean
local function is_current(request)
  -- What was typed meanwhile may be known here before Neovim tells of it.
  return request == in_flight and request.place == here() and places.may_insert(request.bufnr)
end

---@param request midfill.Request
---@param result any
local function answered(request, result)
  if not is_current(request) then
    return
  end
  in_flight = nil
  -- Null says that a newer request is answered in this one's stead, not that nothing fits.
  if result == nil or result == vim.NIL then
    return
  end
  local items = result.items or result
  if #items == 0 then
    forget()
  else
    take(request, items)
  end
end

--- Takes the text so far of a completion that still grows.
---@param params { token: integer|string, text: string, command: lsp.Command }
function M.grow(params)
  local request = in_flight
  if request == nil or params.token ~= request.id or not is_current(request) then
    return
  end
  local before = rest()
  local bufnr, row, column = cursor()
  local typed = vim.api.nvim_buf_get_text(bufnr, request.row, request.column, row, column, {})
  -- What is on the screen and longer stays: it is what this text will become.
  if before and vim.startswith(table.concat(typed, '\n') .. before, params.text) then
    return
  end
  take(request, { { insertText = params.text, command = params.command } })
end

--- Asks for texts at the cursor, in place of whatever was asked before.
---@param is_invoked boolean
---@param step integer
local function ask(is_invoked, step)
  give_up()
  local lsp = client.get()
  local bufnr, row, column = cursor()
  if lsp == nil or not client.is_attached(bufnr) then
    return
  end
  seen = here()
  local encoding = lsp.offset_encoding
  local place = position.to_lsp(bufnr, row, column, encoding)
  local context = { triggerKind = is_invoked and INVOKED or AUTOMATIC }
  local selected = popup.selected(bufnr, row, column)
  if selected then
    context.selectedCompletionInfo = {
      range = { start = position.to_lsp(bufnr, row, selected.column, encoding), ['end'] = place },
      text = selected.text,
    }
  end
  ---@type midfill.Request
  local request = {
    client_id = lsp.id,
    bufnr = bufnr,
    place = seen,
    row = row,
    column = selected and selected.column or column,
    is_invoked = is_invoked,
    step = step,
  }
  in_flight = request
  request.id = client.request(METHOD, {
    textDocument = { uri = vim.uri_from_bufnr(bufnr) },
    position = place,
    context = context,
  }, function(_, result)
    answered(request, result)
  end, bufnr)
end

--- Looks at what was typed, or where the cursor went: shortens what is shown, and asks anew.
function M.follow()
  local place = here()
  -- One key raises several events.
  if place == seen then
    return
  end
  seen = place
  show()
  local bufnr = vim.api.nvim_get_current_buf()
  if popup.is_undecided() then
    M.dismiss()
  elseif places.may_ask(bufnr) then
    ask(false, 0)
  else
    -- What was asked for by hand stays as long as it fits.
    give_up()
  end
end

--- Looks as if for the first time.
function M.begin()
  seen = nil
  M.follow()
end

--- Hides what is shown, and what is still to come; asks again after the next key.
function M.dismiss()
  give_up()
  forget()
end

--- Forgets all, because insert mode or the buffer was left.
function M.leave()
  M.dismiss()
  seen = nil
end

--- Whether there is something to accept. Keys may come faster than Neovim tells of them: what is
--- still on the screen need not fit any more.
---@return boolean
function M.is_visible()
  return ghost.is_visible(vim.api.nvim_get_current_buf()) and rest() ~= nil
end

--- Asks by hand, also where suggestions are paused.
function M.trigger()
  local bufnr = vim.api.nvim_get_current_buf()
  if places.may_insert(bufnr) then
    ask(true, 0)
  end
end

--- Shows the alternative that is `step` further; asks for some if there is but one text.
---@param step integer
function M.cycle(step)
  if current == nil or rest() == nil then
    M.trigger()
  elseif #current.items == 1 then
    if not (in_flight and in_flight.is_invoked) then
      ask(true, step)
    end
  else
    current.index = (current.index - 1 + step) % #current.items + 1
    show()
  end
end

--- What may be accepted now: what is still to come, what of the text stands there already, and the
--- item that it is of.
---@return string? rest
---@return string? typed
---@return midfill.Item? item
function M.pending()
  local text, typed = rest()
  if text == nil or current == nil then
    return nil
  end
  return text, typed, current.items[current.index]
end

--- Notes that some of the text was inserted; what is left stays until the server is heard.
function M.accepted()
  give_up()
  show()
end

return M
