--- The server: finding it, starting it, starting it again when it crashed, and talking to it.
---
--- One server serves all projects, each as a folder of its workspace: it holds the model in memory.
local config = require('midfill.config')
local install = require('midfill.install')
local places = require('midfill.places')
local status = require('midfill.status')
local trust = require('midfill.trust')

local M = {}

M.NAME = 'midfill'

--- Why nothing can be asked about a buffer.
M.NOT_HERE = 'the server does not know this buffer. `:Midfill status` says more'

local INSTALL = 'the server `midfill` is not installed: see :checkhealth midfill'
-- A server that ends so often at once is broken; one that served longer than this is not.
local MOST_CRASHES = 5
local SERVED_MS = 60 * 1000
local FIRST_DELAY_MS = 250
local SIGTERM = 15
-- One that hangs would keep its model in memory.
local MOST_LEAVING_MS = 3000

local IS_NEW = vim.fn.has('nvim-0.11') == 1

---@type integer?
local client_id
local crashes = 0
local started_at = 0
local is_leaving = false
local is_trusted = false
---@type uv.uv_timer_t?
local waiting

---@type table<string, function>
M.handlers = {}
--- What is done here where the server's answers name a command.
---@type table<string, function>
M.commands = {}
--- What is told of each new client before anything is asked of it.
---@type fun(client: vim.lsp.Client)
M.on_init = function() end
--- What is told of each buffer that the server has come to know; set by what draws.
---@type fun(client: vim.lsp.Client, bufnr: integer)
M.on_attach = function() end

--- What starts the server; or nil, and why there is nothing.
---@return string[]?
---@return string?
function M.command()
  local chosen = config.current().cmd
  if chosen then
    if vim.fn.executable(chosen[1]) == 1 then
      return chosen
    end
    return nil, ('`%s`, which the option cmd names, cannot be run'):format(chosen[1])
  end
  local installed = install.command()
  if installed then
    return installed
  end
  if vim.fn.executable('midfill') == 1 then
    -- Windows runs no script by its bare name.
    return { vim.fn.exepath('midfill'), 'serve', '--stdio' }
  end
  return nil, INSTALL
end

--- The client, once there is one.
---@return vim.lsp.Client?
function M.get()
  return client_id and vim.lsp.get_client_by_id(client_id) or nil
end

--- Whether the server knows a buffer by now.
---@param bufnr integer
---@return boolean
function M.is_attached(bufnr)
  local client = M.get()
  return client ~= nil and client.initialized == true and client.attached_buffers[bufnr] == true
end

--- Calls a function of the client; nil if there is none. Up to 0.10 they are no methods.
---@param name string
---@param ... any
---@return any, any
function M.call(name, ...)
  local client = M.get()
  if client == nil then
    return nil
  end
  if IS_NEW then
    return client[name](client, ...)
  end
  return client[name](...)
end

--- Sends a request; returns its id, or nil if that was impossible.
---@param method string
---@param params table
---@param handler fun(err: lsp.ResponseError?, result: any)
---@param bufnr integer
---@return integer?
function M.request(method, params, handler, bufnr)
  local ok, id = M.call('request', method, params, handler, bufnr)
  return ok and id or nil
end

--- Sends a notification, if a server runs.
---@param method string
---@param params table
function M.notify(method, params)
  M.call('notify', method, params)
end

--- Gives a request up, if it is not answered yet.
---@param asked integer the client that was asked: one that follows a crash counts from 1 again
---@param id integer
function M.cancel(asked, id)
  local client = M.get()
  if client and client.id == asked and client.requests[id] then
    M.call('cancel_request', id)
  end
end

--- The settings as a server is told them.
---@return table
local function settings()
  local chosen = config.current().settings
  return { midfill = next(chosen) and chosen or vim.empty_dict() }
end

--- Changes settings of the running server, and of those to come.
---@param changes table as `settings` of the options
function M.configure(changes)
  local current = config.current()
  current.settings = vim.tbl_deep_extend('force', current.settings, changes)
  local client = M.get()
  if client then
    client.settings = settings()
    M.notify('workspace/didChangeConfiguration', { settings = client.settings })
  end
end

---@param bufnr integer
---@return string?
local function root_of(bufnr)
  return vim.fs.root(bufnr, config.current().root_markers)
end

--- Where what a buffer belongs to lies: its project, or the file itself.
---@param bufnr integer
---@return string
local function folder_of(bufnr)
  return root_of(bufnr) or vim.fs.dirname(vim.api.nvim_buf_get_name(bufnr))
end

--- Takes back that all is trusted, when a file is opened that is not: the server knows one answer.
---@param bufnr integer
local function review_trust(bufnr)
  if is_trusted and not trust.is_trusted(folder_of(bufnr)) then
    is_trusted = false
    M.notify('midfill/didChangeTrust', { trusted = false })
  end
end

--- Tells the server of the project of a buffer, if it is a new one.
---@param client vim.lsp.Client
---@param bufnr integer
local function add_folder(client, bufnr)
  local root = root_of(bufnr)
  if root == nil then
    return
  end
  local uri = vim.uri_from_fname(root)
  local folders = client.workspace_folders or {}
  for _, folder in ipairs(folders) do
    if folder.uri == uri then
      return
    end
  end
  local folder = { uri = uri, name = root }
  client.workspace_folders = vim.list_extend({ folder }, folders)
  M.notify('workspace/didChangeWorkspaceFolders', { event = { added = { folder }, removed = {} } })
end

---@param text string
local function complain(text)
  vim.notify('midfill: ' .. text, vim.log.levels.ERROR)
end

---@type string?
local told

--- Says a problem, once as long as it stays the same.
---@param state 'missing'|'failed'
---@param problem string
local function tell(state, problem)
  status.problem(state, problem)
  if told ~= problem then
    told = problem
    complain(problem)
  end
end

local function start_again_soon()
  crashes = vim.uv.now() - started_at > SERVED_MS and 1 or crashes + 1
  if crashes > MOST_CRASHES then
    tell(
      'failed',
      ('the server ended %d times. Why: :Midfill log; again: :Midfill restart'):format(crashes)
    )
    return
  end
  status.starting()
  waiting = vim.defer_fn(function()
    waiting = nil
    M.start()
  end, FIRST_DELAY_MS * 2 ^ (crashes - 1))
end

---@param code integer
---@param signal integer
---@param id integer
local function on_exit(code, signal, id)
  -- Called where little is allowed.
  vim.schedule(function()
    if id ~= client_id then
      return
    end
    client_id = nil
    -- It does not leave in peace by itself: somebody stopped it.
    local is_asked = (code == 0 and signal == 0) or signal == SIGTERM
    if is_asked or is_leaving then
      status.stopped()
    else
      start_again_soon()
    end
  end)
end

---@return table
local function capabilities()
  local all = vim.lsp.protocol.make_client_capabilities()
  all.textDocument.inlineCompletion = all.textDocument.inlineCompletion or vim.empty_dict()
  -- Neovim takes them, and does not say so.
  all.workspace.workspaceEdit.documentChanges = true
  all.experimental = { midfill = { status = true, explanations = true } }
  return all
end

---@param command string[]
---@param bufnr integer
---@return vim.lsp.ClientConfig
local function client_config(command, bufnr)
  is_trusted = trust.is_trusted(folder_of(bufnr))
  return {
    name = M.NAME,
    cmd = command,
    root_dir = root_of(bufnr),
    capabilities = capabilities(),
    init_options = { streaming = true, trusted = is_trusted },
    settings = settings(),
    handlers = M.handlers,
    commands = M.commands,
    on_init = function(client)
      M.on_init(client)
    end,
    on_attach = function(client, attached)
      review_trust(attached)
      add_folder(client, attached)
      M.on_attach(client, attached)
    end,
    on_exit = on_exit,
  }
end

---@param client vim.lsp.Client
---@return boolean
local function is_ours(client)
  return client.id == client_id
end

--- Has the server know a buffer, and starts it if it does not run, unless it failed.
---@param bufnr integer
function M.attach(bufnr)
  if M.get() ~= nil then
    if not vim.lsp.buf_is_attached(bufnr, client_id) then
      vim.lsp.buf_attach_client(bufnr, client_id)
    end
    return
  end
  if waiting or crashes > MOST_CRASHES or is_leaving then
    return
  end
  local command, problem = M.command()
  if command == nil then
    tell('missing', problem --[[@as string]])
    return
  end
  status.starting()
  started_at = vim.uv.now()
  client_id = vim.lsp.start(client_config(command, bufnr), {
    bufnr = bufnr,
    reuse_client = is_ours,
  })
  if client_id == nil then
    tell('failed', ('`%s` could not be started'):format(table.concat(command, ' ')))
  end
end

--- Has the server know all buffers that it is to know; starts it if there is one.
function M.start()
  for _, bufnr in ipairs(vim.api.nvim_list_bufs()) do
    if places.may_attach(bufnr) then
      M.attach(bufnr)
    end
  end
end

--- Ends the server; nothing starts it again but `start`, or another file.
function M.stop()
  if waiting then
    waiting:stop()
    waiting:close()
    waiting = nil
  end
  crashes, told = 0, nil
  local client = M.get()
  if client then
    M.call('stop')
    vim.defer_fn(function()
      if vim.lsp.get_client_by_id(client.id) then
        vim.lsp.stop_client(client.id, true)
      end
    end, MOST_LEAVING_MS)
  end
  client_id = nil
  status.stopped()
end

--- Ends the server and starts it anew, with the options as they are now.
function M.restart()
  M.stop()
  M.start()
end

--- Notes that Neovim is being left: whatever ends now is not to be started again.
function M.leave()
  is_leaving = true
end

return M
