--- What the server's command line prints (`midfill doctor`, `midfill stats`), in a window of its own.
local M = {}

--- The command line of the server that would be started, with other arguments than `serve`.
---@param arguments string[]
---@return string[]? command
---@return string? problem
function M.command(arguments)
  local server, problem = require('midfill.client').command()
  if server == nil then
    return nil, problem
  end
  for index, word in ipairs(server) do
    if word == 'serve' then
      return vim.list_extend(vim.list_slice(server, 1, index - 1), arguments)
    end
  end
  return nil, ('the option `cmd` has no `serve`: %s'):format(table.concat(server, ' '))
end

---@param title string
---@return integer buffer
local function open_window(title)
  local buffer = vim.api.nvim_create_buf(false, true)
  vim.cmd('botright split')
  vim.api.nvim_win_set_buf(0, buffer)
  vim.wo.wrap = false
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].filetype = 'midfill-report'
  local name = 'midfill://' .. title
  if vim.fn.bufnr(name) == -1 then
    vim.api.nvim_buf_set_name(buffer, name)
  end
  vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = buffer, desc = 'Close this report' })
  return buffer
end

---@param buffer integer
---@param text string
local function show(buffer, text)
  if not vim.api.nvim_buf_is_valid(buffer) then
    return
  end
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, vim.split(vim.trim(text), '\r?\n'))
  vim.bo[buffer].modifiable = false
end

--- Environment in which the server's programs print plain text that fits the window.
---@param columns integer
---@return table<string, string>
local function environment(columns)
  return { NO_COLOR = '1', PYTHONUTF8 = '1', COLUMNS = tostring(columns) }
end

--- Runs the server's command line and calls back with what it printed.
---@param arguments string[]
---@param done fun(code: integer, text: string)
---@param columns? integer
function M.run(arguments, done, columns)
  local command, problem = M.command(arguments)
  if command == nil then
    return done(-1, problem or '')
  end
  local options = { text = true, env = environment(columns or 100) }
  local ok, failure = pcall(
    vim.system,
    command,
    options,
    vim.schedule_wrap(function(result)
      local text = result.stdout or ''
      if result.code ~= 0 or text == '' then
        text = text .. (result.stderr or '')
      end
      done(result.code, text)
    end)
  )
  if not ok then
    done(-1, tostring(failure))
  end
end

--- Shows what `midfill` prints with these arguments, once it is there.
---@param arguments string[]
---@param note string what to show until then
function M.show(arguments, note)
  local buffer = open_window(table.concat(arguments, ' '))
  show(buffer, note)
  M.run(arguments, function(_, text)
    show(buffer, text)
  end, vim.api.nvim_win_get_width(0))
end

return M
