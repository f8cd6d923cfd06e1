--- What the server is doing, for a statusline, and for those who want to be told when it changes.
local M = {}

---@alias midfill.State
---| 'off' no server runs, because none was needed yet or it was stopped
---| 'loading' the model is being fetched or loaded
---| 'ready'
---| 'paused' the user paused it for this buffer
---| 'missing' the server, or its model, is not installed
---| 'failed'

---@class midfill.Status
---@field state midfill.State
---@field working boolean whether a completion is being computed
---@field message string one sentence for people; may be empty
---@field model string?
---@field device string?
---@field percent integer? how much is loaded
---@field downloadBytes integer? what a missing model costs to fetch
---@field log string? the server's log

---@type midfill.Status
local OFF = { state = 'off', working = false, message = '' }

---@type midfill.Status
local server = OFF

---@type string?
local announced

--- Whether the user paused suggestions in a buffer; set by what keeps the pauses.
---@type fun(bufnr: integer): boolean
M.is_paused = function()
  return false
end

--- What holds in a buffer now.
---@param bufnr? integer
---@return midfill.Status
function M.current(bufnr)
  local now = vim.deepcopy(server)
  local works = now.state == 'ready' or now.state == 'loading'
  if works and M.is_paused(bufnr or vim.api.nvim_get_current_buf()) then
    now.state = 'paused'
    now.working = false
  end
  return now
end

--- The status in a few characters.
---@param bufnr? integer
---@return string
function M.line(bufnr)
  local now = M.current(bufnr)
  if now.state == 'off' then
    return ''
  end
  local said = {
    ready = now.working and 'midfill …' or 'midfill',
    loading = now.percent and ('midfill %d%%'):format(now.percent) or 'midfill loading',
    paused = 'midfill paused',
    missing = 'midfill missing',
    failed = 'midfill error',
  }
  return said[now.state]
end

--- Says so if what the statusline shows has changed: by the event, and by drawing it anew.
function M.refresh()
  local line = M.line()
  if line == announced then
    return
  end
  announced = line
  vim.api.nvim_exec_autocmds('User', {
    pattern = 'MidfillStatus',
    modeline = false,
    data = M.current(),
  })
  vim.cmd.redrawstatus()
end

---@param status midfill.Status
local function take(status)
  server = status
  -- Answers may come in the middle of what draws or edits, where no autocommand may run.
  vim.schedule(M.refresh)
end

--- Takes what the server says by `midfill/didChangeStatus`.
---@param params table
function M.take(params)
  ---@type midfill.Status
  local status = { state = 'ready', working = false, message = '' }
  for key, value in pairs(params) do
    if value ~= vim.NIL then
      status[key] = value
    end
  end
  take(status)
end

--- Notes that a server was started, which says nothing yet.
function M.starting()
  take({ state = 'loading', working = false, message = 'The server is starting.' })
end

--- Notes why there is no server.
---@param state 'missing'|'failed'
---@param message string
function M.problem(state, message)
  take({ state = state, working = false, message = message, log = server.log })
end

--- Notes that the server left and is not wanted back.
function M.stopped()
  take(OFF)
end

return M
