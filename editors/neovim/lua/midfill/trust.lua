--- Which projects the user trusts: programs that lie in them, and settings that are code, may be run.
local config = require('midfill.config')

local M = {}

--- Whether what lies in a folder may be run. Only a clear yes is one.
---@param folder string the root of a project, or where a file is that belongs to none
---@return boolean
function M.is_trusted(folder)
  local chosen = config.current().trusted
  if type(chosen) == 'boolean' then
    return chosen --[[@as boolean]]
  end
  local ok, answer = pcall(chosen, folder)
  if not ok then
    require('midfill.notice').fail(('the option trusted: %s'):format(answer))
  end
  return ok and answer == true
end

return M
