--- Tells the server what others found wrong in a file, because that may be what is written next.
local client = require('midfill.client')
local position = require('midfill.position')

local M = {}

local REST_MS = 250
local MOST = 100

---@type table<integer, uv.uv_timer_t>
local timers = {}

---@param bufnr integer
---@param found vim.Diagnostic
---@param encoding string
---@return lsp.Diagnostic
local function to_lsp(bufnr, found, encoding)
  local last_row = found.end_lnum or found.lnum
  return {
    range = {
      start = position.to_lsp(bufnr, found.lnum, found.col, encoding),
      ['end'] = position.to_lsp(bufnr, last_row, found.end_col or found.col, encoding),
    },
    severity = found.severity,
    message = found.message,
    code = found.code,
    source = found.source,
    -- Of another server's, who may count columns otherwise: only the messages mean something.
    relatedInformation = vim.tbl_get(found, 'user_data', 'lsp', 'relatedInformation'),
  }
end

--- What others than `lsp` found in a buffer, or on lines of it.
---@param bufnr integer
---@param lsp vim.lsp.Client
---@param rows integer[]? the first and the last, from 0
---@return vim.Diagnostic[]
local function of_others(bufnr, lsp, rows)
  local own = vim.lsp.diagnostic.get_namespace(lsp.id)
  return vim.tbl_filter(function(found)
    local is_there = rows == nil
      or (found.lnum <= rows[2] and (found.end_lnum or found.lnum) >= rows[1])
    return is_there and found.namespace ~= own
  end, vim.diagnostic.get(bufnr))
end

--- What others than `lsp` found in a buffer, or on lines of it, as `lsp` is told it.
---@param bufnr integer
---@param lsp vim.lsp.Client
---@param rows integer[]? the first and the last, from 0
---@return lsp.Diagnostic[]
function M.found(bufnr, lsp, rows)
  return vim.tbl_map(function(found)
    return to_lsp(bufnr, found, lsp.offset_encoding)
  end, of_others(bufnr, lsp, rows))
end

---@param bufnr integer
local function tell(bufnr)
  local lsp = client.get()
  if lsp == nil or not client.is_attached(bufnr) then
    return
  end
  local all = of_others(bufnr, lsp)
  -- The worst of them, where there are too many.
  table.sort(all, function(one, other)
    local first, second = one.severity or 1, other.severity or 1
    return first < second or (first == second and one.lnum < other.lnum)
  end)
  local told = {}
  for index = 1, math.min(#all, MOST) do
    told[index] = to_lsp(bufnr, all[index], lsp.offset_encoding)
  end
  client.notify('midfill/didChangeDiagnostics', {
    uri = vim.uri_from_bufnr(bufnr),
    version = vim.lsp.util.buf_versions[bufnr],
    diagnostics = told,
  })
end

--- Notes that the diagnostics of a buffer changed; the server hears of it in a moment.
---@param bufnr integer
function M.changed(bufnr)
  if not client.is_attached(bufnr) then
    return
  end
  local timer = timers[bufnr] or assert(vim.uv.new_timer())
  timers[bufnr] = timer
  timer:start(
    REST_MS,
    0,
    vim.schedule_wrap(function()
      if vim.api.nvim_buf_is_loaded(bufnr) then
        tell(bufnr)
      end
    end)
  )
end

--- Forgets a buffer that is gone.
---@param bufnr integer
function M.forget(bufnr)
  local timer = timers[bufnr]
  if timer then
    timers[bufnr] = nil
    timer:stop()
    timer:close()
  end
end

return M
