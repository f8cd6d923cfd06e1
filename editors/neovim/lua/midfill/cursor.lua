--- Tells the server where the cursor is while nothing is typed, so that it can prepare there.
local client = require('midfill.client')
local position = require('midfill.position')

local M = {}

-- Somebody who holds an arrow key is not there yet.
local REST_MS = 100

---@type uv.uv_timer_t?
local timer
---@type string?
local told

local function tell()
  local bufnr = vim.api.nvim_get_current_buf()
  local lsp = client.get()
  if lsp == nil or not client.is_attached(bufnr) then
    return
  end
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  local place = position.to_lsp(bufnr, row - 1, column, lsp.offset_encoding)
  local key = ('%d %d %d %d'):format(lsp.id, bufnr, place.line, place.character)
  if key == told then
    return
  end
  told = key
  client.notify('midfill/didMoveCursor', {
    textDocument = { uri = vim.uri_from_bufnr(bufnr) },
    position = place,
  })
end

--- Notes that the cursor moved, or that another file is shown; the server hears of it in a moment.
function M.moved()
  timer = timer or assert(vim.uv.new_timer())
  timer:start(REST_MS, 0, vim.schedule_wrap(tell))
end

--- Notes that something was typed: what is asked then says where the cursor is.
function M.typed()
  if timer then
    timer:stop()
  end
end

return M
