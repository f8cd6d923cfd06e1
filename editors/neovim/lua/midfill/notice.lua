--- What the user is told: messages that are kept, and a note while something is computed.
local M = {}

local is_noted = false

--- Says something.
---@param text string
---@param level? integer
function M.say(text, level)
  is_noted = false
  vim.notify('midfill: ' .. text, level or vim.log.levels.INFO)
end

--- Says what did not work.
---@param problem string
function M.fail(problem)
  M.say(problem, vim.log.levels.ERROR)
end

--- Shows what is going on, below the text, until something else is said there.
---@param text string
function M.note(text)
  is_noted = true
  vim.api.nvim_echo({ { ('midfill: %s …'):format(text) } }, false, {})
end

--- Takes the note away if it is still what was said last.
function M.clear_note()
  if is_noted then
    is_noted = false
    vim.api.nvim_echo({ { '' } }, false, {})
  end
end

local LEVELS = { vim.log.levels.ERROR, vim.log.levels.WARN }

--- Takes what the server says by `window/showMessage`. Neovim's own way adds a line, so that a key
--- has to be pressed before one can go on.
---@param params { type: integer, message: string }
function M.take(params)
  M.say((params.message:gsub('^midfill: ', '')), LEVELS[params.type])
end

return M
