--- midfill: code completion by a model on this machine, as text ahead of the cursor.
local accept = require('midfill.accept')
local actions = require('midfill.actions')
local client = require('midfill.client')
local config = require('midfill.config')
local cursor = require('midfill.cursor')
local diagnostics = require('midfill.diagnostics')
local explanation = require('midfill.explanation')
local ghost = require('midfill.ghost')
local keys = require('midfill.keys')
local native = require('midfill.native')
local notice = require('midfill.notice')
local pause = require('midfill.pause')
local places = require('midfill.places')
local status = require('midfill.status')
local suggestion = require('midfill.suggestion')

local M = {}

---@return boolean
local function is_native()
  return config.current().ghost ~= 'midfill' and native.is_available()
end

--- Whether a suggestion is on the screen.
---@return boolean
function M.is_visible()
  if is_native() then
    return native.is_visible(vim.api.nvim_get_current_buf())
  end
  return suggestion.is_visible()
end

---@param shorten fun(rest: string): string
---@return boolean
local function take(shorten)
  if is_native() then
    return native.accept(shorten)
  end
  return accept.accept(shorten)
end

--- Inserts the suggestion; false: there is none.
---@return boolean
function M.accept()
  return take(accept.all)
end

--- Inserts the next word of the suggestion.
---@return boolean
function M.accept_word()
  return take(accept.word)
end

--- Inserts the rest of the line of the suggestion, or the next line.
---@return boolean
function M.accept_line()
  return take(accept.line)
end

---@param step integer
local function cycle(step)
  if is_native() then
    native.select(step)
  else
    suggestion.cycle(step)
  end
end

--- Shows the next alternative; asks for some if there are none yet.
function M.next()
  cycle(1)
end

--- Shows the alternative before.
function M.prev()
  cycle(-1)
end

--- Hides the suggestion until the next key.
function M.dismiss()
  if is_native() then
    native.dismiss(client.get())
  else
    suggestion.dismiss()
  end
end

--- Asks for a suggestion here and now, also where suggestions are paused.
function M.trigger()
  local lsp = client.get()
  if not is_native() then
    suggestion.trigger()
  elseif lsp then
    native.trigger(lsp, vim.api.nvim_get_current_buf())
  end
end

--- Suggests nothing in the buffer, its filetype, or anywhere (which is the default).
---@param scope midfill.Scope?
function M.pause(scope)
  pause.pause(scope)
  M.dismiss()
end

--- Suggests again; without a scope, ends every pause that concerns this buffer.
---@param scope midfill.Scope?
function M.resume(scope)
  pause.resume(scope)
end

--- Pauses or resumes.
---@param scope midfill.Scope?
function M.toggle(scope)
  if pause.toggle(scope) then
    M.dismiss()
  end
end

--- Explains what is selected, lines, or what the cursor is at, in a window of its own.
---@param options? { length: 'short'|'medium'|'long'|nil, lines: midfill.Lines? }
function M.explain(options)
  options = options or {}
  explanation.explain(options.length, options.lines)
end

--- Offers fixes for what others found wrong at the cursor, in what is selected, or on lines.
---@param options? { lines: midfill.Lines? }
function M.fix(options)
  actions.fix(options and options.lines)
end

--- Fixes all problems of one kind in the file.
function M.fix_all()
  actions.fix_all()
end

--- Writes the code that the comment or docstring at the cursor asks for.
function M.generate()
  actions.generate()
end

--- Gives up the fix or the code that is being computed.
function M.cancel()
  actions.cancel()
end

--- What the server is doing, as far as it concerns this buffer.
---@return midfill.Status
function M.status()
  return status.current()
end

--- The status in a few characters, for a statusline.
---@return string
function M.statusline()
  return status.line()
end

---@param bufnr integer
local function consider(bufnr)
  if places.may_attach(bufnr) then
    client.attach(bufnr)
  end
end

---@param group integer
local function follow_buffers(group)
  vim.api.nvim_create_autocmd({ 'FileType', 'BufEnter', 'BufWritePost', 'BufFilePost' }, {
    group = group,
    callback = function(event)
      -- What a plugin says about a new buffer is known only after this event.
      vim.schedule(function()
        if vim.api.nvim_buf_is_valid(event.buf) then
          consider(event.buf)
        end
        status.refresh()
      end)
    end,
  })
  vim.api.nvim_create_autocmd({ 'CursorMoved', 'BufEnter' }, {
    group = group,
    callback = cursor.moved,
  })
  vim.api.nvim_create_autocmd('DiagnosticChanged', {
    group = group,
    callback = function(event)
      diagnostics.changed(event.buf)
    end,
  })
  vim.api.nvim_create_autocmd({ 'BufDelete', 'BufWipeout' }, {
    group = group,
    callback = function(event)
      diagnostics.forget(event.buf)
    end,
  })
  vim.api.nvim_create_autocmd('ColorScheme', {
    group = group,
    callback = function()
      ghost.highlight(config.current().highlight)
    end,
  })
  vim.api.nvim_create_autocmd('VimLeavePre', { group = group, callback = client.leave })
end

---@param group integer
local function follow_keys(group)
  vim.api.nvim_create_autocmd({ 'TextChangedI', 'TextChangedP', 'CursorMovedI' }, {
    group = group,
    callback = function()
      cursor.typed()
      suggestion.follow()
    end,
  })
  -- At these, the mode or the menu is not yet what it will be.
  vim.api.nvim_create_autocmd({ 'InsertEnter', 'CompleteChanged', 'CompleteDone' }, {
    group = group,
    callback = function()
      vim.schedule(function()
        if places.may_insert(vim.api.nvim_get_current_buf()) then
          suggestion.follow()
        end
      end)
    end,
  })
  vim.api.nvim_create_autocmd({ 'InsertLeave', 'BufLeave', 'WinLeave' }, {
    group = group,
    callback = suggestion.leave,
  })
end

--- Whether there is something to go to another alternative of.
---@return boolean
local function may_cycle()
  return M.is_visible()
end

---@return boolean
local function may_trigger()
  return client.is_attached(vim.api.nvim_get_current_buf())
end

---@type midfill.Key[]
local KEYS = {
  { name = 'accept', about = 'accept', applies = M.is_visible },
  { name = 'accept_word', about = 'accept a word', applies = M.is_visible },
  { name = 'accept_line', about = 'accept a line', applies = M.is_visible },
  { name = 'next', about = 'next alternative', applies = may_cycle },
  { name = 'prev', about = 'previous alternative', applies = may_cycle },
  { name = 'dismiss', about = 'dismiss', applies = M.is_visible },
  { name = 'trigger', about = 'suggest', applies = may_trigger },
}

local function take_notifications()
  client.handlers = {
    ['midfill/didChangeStatus'] = function(_, params)
      status.take(params)
    end,
    ['midfill/inlineCompletionProgress'] = function(_, params)
      suggestion.grow(params)
    end,
    -- They come with the growing text, and are for measurements.
    ['midfill/completionStats'] = function() end,
    ['midfill/explanation'] = function(_, params)
      explanation.grow(params)
    end,
    ['window/showMessage'] = function(_, params)
      notice.take(params)
    end,
    ['workspace/applyEdit'] = function(_, params, context)
      return actions.take_edit(params, context.client_id)
    end,
  }
  client.commands = actions.commands
  client.on_init = actions.watch
  client.on_attach = function(lsp, bufnr)
    if is_native() then
      native.attach(lsp, places.may_ask)
    elseif places.may_insert(bufnr) then
      -- Somebody typed before the server was there.
      suggestion.begin()
    end
  end
end

--- Starts midfill; called again, it starts anew with other options. See :help midfill-setup.
---@param options table?
function M.setup(options)
  if vim.fn.has('nvim-0.10') == 0 then
    error('midfill: Neovim 0.10 or newer is needed', 0)
  end
  config.read(options)
  -- Not every plugin manager reads it in a folder that it was shown this late.
  vim.cmd.runtime('plugin/midfill.lua')
  ghost.highlight(config.current().highlight)
  local group = vim.api.nvim_create_augroup('midfill', {})
  follow_buffers(group)
  if not is_native() then
    follow_keys(group)
  end
  keys.unmap()
  for _, key in ipairs(KEYS) do
    local lhs = config.current().keymaps[key.name]
    if lhs then
      keys.map(key, lhs)
    end
  end
  take_notifications()
  client.restart()
end

return M
