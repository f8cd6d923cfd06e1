--- What the model says of code, in a window of its own, while it is being written.
local client = require('midfill.client')
local notice = require('midfill.notice')

local M = {}

local CANCELLED = -32800
local LEAST_LINES = 3
local MOST_OF_THE_SCREEN = 0.4

---@class midfill.Explanation
---@field token string what the server calls it
---@field buffer integer
---@field window integer
---@field origin integer the window that it is about
---@field client_id integer
---@field request integer?

---@type midfill.Explanation?
local current
local count = 0

---@param explanation midfill.Explanation
---@return boolean
local function is_open(explanation)
  return explanation == current and vim.api.nvim_win_is_valid(explanation.window)
end

---@param explanation midfill.Explanation
local function give_up(explanation)
  if explanation.request then
    client.cancel(explanation.client_id, explanation.request)
    explanation.request = nil
  end
end

--- Closes the window, and gives up what is still to come.
function M.close()
  local explanation = current
  if explanation == nil then
    return
  end
  current = nil
  give_up(explanation)
  if not vim.api.nvim_win_is_valid(explanation.window) then
    return
  end
  local was_there = vim.api.nvim_get_current_win() == explanation.window
  -- It may be the last window that is left.
  pcall(vim.api.nvim_win_close, explanation.window, true)
  if was_there and vim.api.nvim_win_is_valid(explanation.origin) then
    vim.api.nvim_set_current_win(explanation.origin)
  end
end

---@param window integer
---@param title string
local function entitle(window, title)
  vim.wo[window][0].winbar = (' %s%%=q closes '):format((title:gsub('%%', '%%%%')))
end

---@param explanation midfill.Explanation
---@param text string
local function write(explanation, text)
  local buffer, window = explanation.buffer, explanation.window
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, vim.split(text, '\n', { plain = true }))
  vim.bo[buffer].modifiable = false
  local wanted = vim.api.nvim_win_text_height(window, {}).all + 1
  local most = math.max(math.floor(vim.o.lines * MOST_OF_THE_SCREEN), LEAST_LINES)
  wanted = math.min(wanted, most)
  -- It only grows: a window that moves up and down is hard to read in.
  if wanted > vim.api.nvim_win_get_height(window) then
    vim.api.nvim_win_set_height(window, wanted)
  end
end

---@return integer buffer
local function new_buffer()
  local buffer = vim.api.nvim_create_buf(false, true)
  vim.bo[buffer].bufhidden = 'wipe'
  vim.api.nvim_buf_set_name(buffer, ('midfill://explanation/%d'):format(count))
  vim.bo[buffer].modifiable = false
  vim.keymap.set('n', 'q', M.close, { buffer = buffer, desc = 'Close this explanation' })
  vim.api.nvim_create_autocmd('BufWipeout', {
    buffer = buffer,
    callback = function()
      if current and current.buffer == buffer then
        give_up(current)
        current = nil
      end
    end,
  })
  return buffer
end

---@param buffer integer
---@return integer window
local function open_window(buffer)
  vim.cmd(('belowright %dsplit'):format(LEAST_LINES))
  local window = vim.api.nvim_get_current_win()
  vim.api.nvim_win_set_buf(window, buffer)
  vim.bo[buffer].filetype = 'markdown'
  -- Not every Neovim was built with the parser; then the syntax file colours it.
  pcall(vim.treesitter.start, buffer, 'markdown')
  local looks = {
    concealcursor = 'nc',
    conceallevel = 2,
    cursorline = false,
    foldcolumn = '0',
    foldenable = false,
    linebreak = true,
    list = false,
    number = false,
    relativenumber = false,
    signcolumn = 'no',
    spell = false,
    winfixheight = true,
    wrap = true,
  }
  for name, value in pairs(looks) do
    vim.wo[window][0][name] = value
  end
  return window
end

---@param client_id integer
---@return midfill.Explanation
local function open(client_id)
  M.close()
  count = count + 1
  local origin = vim.api.nvim_get_current_win()
  local buffer = new_buffer()
  current = {
    token = ('explanation-%d'):format(count),
    buffer = buffer,
    window = open_window(buffer),
    origin = origin,
    client_id = client_id,
  }
  entitle(current.window, 'Explaining …')
  return current
end

--- Takes the text so far of an explanation that is still being written.
---@param params { token: integer|string, text: string }
function M.grow(params)
  if current and current.token == params.token and is_open(current) then
    write(current, params.text)
  end
end

---@param explanation midfill.Explanation
---@param failure lsp.ResponseError?
---@param result { markdown: string, model: string }?
local function answered(explanation, failure, result)
  if not is_open(explanation) then
    return
  end
  explanation.request = nil
  if failure == nil and result then
    entitle(explanation.window, 'Explanation by ' .. result.model)
    write(explanation, result.markdown)
    return
  end
  M.close()
  if failure and failure.code ~= CANCELLED then
    notice.fail(failure.message)
  end
end

--- Has the server run a command that explains something, and shows what it says.
---@param command string
---@param subject table what it is about, as the command takes it
---@param bufnr integer
function M.show(command, subject, bufnr)
  local lsp = client.get()
  if lsp == nil or not client.is_attached(bufnr) then
    return notice.fail(client.NOT_HERE)
  end
  local explanation = open(lsp.id)
  local told = vim.tbl_extend('force', subject, { token = explanation.token })
  local params = { command = command, arguments = { told } }
  explanation.request = client.request('workspace/executeCommand', params, function(...)
    answered(explanation, ...)
  end, bufnr)
end

--- Explains what is selected, the lines of a command, or what the cursor is at.
---@param length 'short'|'medium'|'long'|nil nil: as the settings say
---@param lines midfill.Lines?
function M.explain(length, lines)
  local lsp = client.get()
  local bufnr = vim.api.nvim_get_current_buf()
  if lsp == nil or not client.is_attached(bufnr) then
    return notice.fail(client.NOT_HERE)
  end
  local range = require('midfill.selection').range(lsp.offset_encoding, lines)
  local subject = { uri = vim.uri_from_bufnr(bufnr), range = range, length = length }
  M.show('midfill.explain', subject, bufnr)
end

return M
