--- What the server changes in a text because somebody asked for it: fixes, and code for a comment.
local client = require('midfill.client')
local diagnostics = require('midfill.diagnostics')
local explanation = require('midfill.explanation')
local notice = require('midfill.notice')
local position = require('midfill.position')
local selection = require('midfill.selection')

local M = {}

local METHOD = 'textDocument/codeAction'
local INVOKED = 1
local CANCELLED = -32800
local IS_NEW = vim.fn.has('nvim-0.11') == 1

---@class midfill.Wait
---@field client_id integer
---@field id integer?

---@type midfill.Wait?
local waiting

---@param one lsp.Position
---@param other lsp.Position
---@return boolean
local function is_before(one, other)
  return one.line < other.line or (one.line == other.line and one.character < other.character)
end

--- The range of a request; of the nearest finding on the line, where the cursor is beside all.
---@param range lsp.Range
---@param found lsp.Diagnostic[]
---@return lsp.Range
local function widened(range, found)
  local at, nearest, least = range.start, nil, math.huge
  if not vim.deep_equal(at, range['end']) then
    return range
  end
  for _, one in ipairs(found) do
    local place = one.range
    if not is_before(at, place.start) and not is_before(place['end'], at) then
      return range
    end
    local distance = math.abs(place.start.character - at.character)
    if distance < least then
      nearest, least = place, distance
    end
  end
  return nearest or range
end

--- What is asked for code actions, with all that others found on these lines: Neovim itself tells a
--- server only what that server found. A menu on a line is for what is wrong there, too.
---@param params lsp.CodeActionParams
---@param bufnr integer
---@param lsp vim.lsp.Client
---@return lsp.CodeActionParams
local function completed(params, bufnr, lsp)
  if #(params.context.diagnostics or {}) > 0 then
    return params
  end
  local first, last = params.range.start.line, params.range['end'].line
  local found = diagnostics.found(bufnr, lsp, { first, last })
  return vim.tbl_extend('force', params, {
    context = vim.tbl_extend('force', params.context, { diagnostics = found }),
    range = widened(params.range, found),
  })
end

--- Lets all requests of a new client for code actions pass through here.
---@param lsp vim.lsp.Client
function M.watch(lsp)
  local request = lsp.request
  ---@param method string
  ---@param params table
  ---@param bufnr integer?
  local function complete(method, params, bufnr)
    if method ~= METHOD then
      return params
    end
    bufnr = (bufnr == nil or bufnr == 0) and vim.api.nvim_get_current_buf() or bufnr
    return completed(params, bufnr --[[@as integer]], lsp)
  end
  if IS_NEW then
    ---@diagnostic disable-next-line: duplicate-set-field
    lsp.request = function(self, method, params, handler, bufnr)
      return request(self, method, complete(method, params, bufnr), handler, bufnr)
    end
  else
    ---@diagnostic disable-next-line: duplicate-set-field
    lsp.request = function(method, params, handler, bufnr)
      ---@diagnostic disable-next-line: param-type-mismatch
      return request(method, complete(method, params, bufnr), handler, bufnr)
    end
  end
end

--- Gives up what was asked for and is not there yet.
function M.cancel()
  local request = waiting
  waiting = nil
  if request and request.id then
    client.cancel(request.client_id, request.id)
  end
  notice.clear_note()
end

--- Asks in place of whatever was asked before, and says so meanwhile.
---@param note string
---@param method string
---@param params table
---@param bufnr integer
---@param done fun(result: any)
local function ask(note, method, params, bufnr, done)
  M.cancel()
  local lsp = client.get()
  if lsp == nil or not client.is_attached(bufnr) then
    return notice.fail(client.NOT_HERE)
  end
  ---@type midfill.Wait
  local request = { client_id = lsp.id }
  waiting = request
  notice.note(note)
  request.id = client.request(method, params, function(failure, result)
    if waiting ~= request then
      return
    end
    waiting = nil
    notice.clear_note()
    if failure == nil then
      done(result)
    elseif failure.code ~= CANCELLED then
      notice.fail(failure.message)
    end
  end, bufnr)
end

---@param note string
---@param command string
---@param subject table
---@param bufnr integer
local function execute(note, command, subject, bufnr)
  local params = { command = command, arguments = { subject } }
  -- The server has the text changed before it answers, and says itself what came of it.
  ask(note, 'workspace/executeCommand', params, bufnr, function() end)
end

---@param subject table
---@param bufnr integer
local function fix_all(subject, bufnr)
  execute('fixing', 'midfill.fixAll', subject, bufnr)
end

---@type table<string, fun(command: lsp.Command, context: table)>
M.commands = {
  ['midfill.explain'] = function(command, context)
    explanation.show(command.command, command.arguments[1], context.bufnr)
  end,
  ['midfill.explainDiagnostic'] = function(command, context)
    explanation.show(command.command, command.arguments[1], context.bufnr)
  end,
  ['midfill.fixAll'] = function(command, context)
    fix_all(command.arguments[1], context.bufnr)
  end,
}

---@param action lsp.CodeAction
---@param bufnr integer
local function apply(action, bufnr)
  local lsp = client.get()
  if action.edit and lsp then
    vim.lsp.util.apply_workspace_edit(action.edit, lsp.offset_encoding)
  end
  if action.command then
    M.commands[action.command.command](action.command, { bufnr = bufnr })
  end
end

---@param action lsp.CodeAction
---@param bufnr integer
local function choose(action, bufnr)
  if action.edit or action.command then
    return apply(action, bufnr)
  end
  ask('looking for a fix', 'codeAction/resolve', action, bufnr, function(resolved)
    apply(resolved, bufnr)
  end)
end

--- Offers the code actions of midfill at the cursor, or for lines; the only one is done at once.
---@param lines midfill.Lines?
function M.fix(lines)
  local lsp = client.get()
  local bufnr = vim.api.nvim_get_current_buf()
  if lsp == nil then
    return notice.fail(client.NOT_HERE)
  end
  local params = {
    textDocument = { uri = vim.uri_from_bufnr(bufnr) },
    range = selection.range(lsp.offset_encoding, lines),
    context = { diagnostics = {}, only = { 'quickfix' }, triggerKind = INVOKED },
  }
  ask('looking for fixes', METHOD, params, bufnr, function(actions)
    if actions == nil or #actions == 0 then
      return notice.say('nothing was found wrong here that could be fixed')
    elseif #actions == 1 then
      return choose(actions[1], bufnr)
    end
    vim.ui.select(actions, {
      prompt = 'Code actions of midfill:',
      kind = 'codeaction',
      format_item = function(action)
        return action.title
      end,
    }, function(action)
      if action then
        choose(action, bufnr)
      end
    end)
  end)
end

---@class midfill.Kind
---@field count integer
---@field first lsp.Diagnostic

--- What kinds of problems there are, each by its source and code.
---@param found lsp.Diagnostic[]
---@return midfill.Kind[]
local function kinds(found)
  local all, by_name = {}, {} ---@type midfill.Kind[], table<string, midfill.Kind>
  for _, one in ipairs(found) do
    -- What has no code is of no kind.
    if one.code ~= nil and one.code ~= '' then
      local name = ('%s %s'):format(one.source or '', one.code)
      if by_name[name] == nil then
        by_name[name] = { count = 0, first = one }
        table.insert(all, by_name[name])
      end
      by_name[name].count = by_name[name].count + 1
    end
  end
  return all
end

---@param kind midfill.Kind
---@return string
local function describe(kind)
  local one = kind.first
  local name = vim.trim(('%s %s'):format(one.source or '', one.code))
  return ('%s (%d): %s'):format(name, kind.count, (one.message:gsub('%s+', ' ')))
end

--- Fixes all of the kind of what is wrong on the cursor's line; if nothing is, of one in the file.
function M.fix_all()
  local lsp = client.get()
  local bufnr = vim.api.nvim_get_current_buf()
  if lsp == nil then
    return notice.fail(client.NOT_HERE)
  end
  local row = vim.api.nvim_win_get_cursor(0)[1] - 1
  local choices = kinds(diagnostics.found(bufnr, lsp, { row, row }))
  if #choices == 0 then
    choices = kinds(diagnostics.found(bufnr, lsp))
  end
  ---@param kind midfill.Kind?
  local function chosen(kind)
    if kind then
      fix_all({ uri = vim.uri_from_bufnr(bufnr), diagnostic = kind.first }, bufnr)
    end
  end
  if #choices == 0 then
    notice.say('nothing was found wrong in this file that could be fixed')
  elseif #choices == 1 then
    chosen(choices[1])
  else
    vim.ui.select(choices, { prompt = 'Fix all:', format_item = describe }, chosen)
  end
end

--- Writes the code that the comment or docstring at the cursor asks for, below it.
function M.generate()
  local lsp = client.get()
  if lsp == nil then
    return notice.fail(client.NOT_HERE)
  end
  local bufnr = vim.api.nvim_get_current_buf()
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  local place = position.to_lsp(bufnr, row - 1, column, lsp.offset_encoding)
  local subject = { uri = vim.uri_from_bufnr(bufnr), position = place }
  execute('writing code', 'midfill.generate', subject, bufnr)
end

--- Whether an edit is for the texts as they are now.
---@param edit lsp.WorkspaceEdit
---@return boolean
local function is_current(edit)
  for _, change in ipairs(edit.documentChanges or {}) do
    local document = change.textDocument
    local version = document and document.version
    if type(version) == 'number' then
      local now = vim.lsp.util.buf_versions[vim.uri_to_bufnr(document.uri)]
      if now and now > version then
        return false
      end
    end
  end
  return true
end

--- Changes texts as the server wishes. Neovim's own way says that it did where it did not.
---@param params lsp.ApplyWorkspaceEditParams
---@param client_id integer
---@return lsp.ApplyWorkspaceEditResult
function M.take_edit(params, client_id)
  local lsp = vim.lsp.get_client_by_id(client_id)
  if lsp == nil or not is_current(params.edit) then
    return { applied = false }
  end
  local ok, problem = pcall(vim.lsp.util.apply_workspace_edit, params.edit, lsp.offset_encoding)
  return { applied = ok, failureReason = not ok and tostring(problem) or nil }
end

return M
