--- Inserting what is shown, or its next word or line, and telling the server.
local client = require('midfill.client')
local position = require('midfill.position')
local suggestion = require('midfill.suggestion')

local M = {}

--- The whole text.
---@param rest string
---@return string
function M.all(rest)
  return rest
end

--- The next word of a text with the space before it; a run of signs is a word, too.
---@param rest string
---@return string
function M.word(rest)
  local space = rest:match('^%s*')
  local after = rest:sub(#space + 1)
  -- Bytes above 127 are letters of any language; cutting none of them in two is what matters.
  local word = after:match('^[%w_\128-\255]+') or after:match('^[^%w_%s\128-\255]+') or ''
  return space .. word
end

--- The rest of the line; after its end, the next one.
---@param rest string
---@return string
function M.line(rest)
  return rest:match('^\n*[^\n]+') or rest
end

--- Begins a step of undo, so that one `u` takes back what is inserted and nothing else.
local function part_undo()
  -- Setting the option does that, as its documentation says.
  vim.go.undolevels = vim.go.undolevels
end

--- Inserts text at the cursor, as one step of undo.
---@param text string
function M.insert(text)
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  local lines = vim.split(text, '\n', { plain = true })
  part_undo()
  vim.api.nvim_buf_set_text(0, row - 1, column, row - 1, column, lines)
  local last = #lines[#lines] + (#lines == 1 and column or 0)
  vim.api.nvim_win_set_cursor(0, { row + #lines - 1, last })
  part_undo()
end

---@param command lsp.Command
local function tell_accepted(command)
  client.request('workspace/executeCommand', {
    command = command.command,
    arguments = command.arguments,
  }, function() end, vim.api.nvim_get_current_buf())
end

--- Tells the server how much of an item was inserted.
---@param item midfill.Item
---@param length integer? how many bytes of its text stand there now; nil: all is there
function M.tell(item, length)
  if length then
    client.notify('textDocument/didPartiallyAcceptCompletion', {
      item = item,
      acceptedLength = position.utf16_length(item.insertText:sub(1, length)),
    })
  elseif item.command then
    tell_accepted(item.command)
  end
end

--- Inserts what `shorten` leaves of the text that is shown; false: nothing is shown.
---@param shorten fun(rest: string): string
---@return boolean
function M.accept(shorten)
  local rest, typed, item = suggestion.pending()
  if rest == nil or item == nil or not suggestion.is_visible() then
    return false
  end
  local part = shorten(rest)
  local ok, problem = pcall(M.insert, part)
  if not ok then
    -- While an `expr` mapping is evaluated, no text may be changed.
    assert(problem and problem:find('E565:', 1, true), problem)
    vim.schedule(function()
      M.accept(shorten)
    end)
    return true
  end
  suggestion.accepted()
  M.tell(item, part ~= rest and #typed + #part or nil)
  return true
end

return M
