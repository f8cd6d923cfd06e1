--- Models, profile and eagerness: what may be chosen while the editor runs, and telling the server.
---
--- A choice lasts until the editor is left. What should last longer belongs into `setup()`.
local client = require('midfill.client')

local M = {}

local ANSWER_MS = 1000

M.PROFILES = { 'auto', 'performance', 'eco' }
M.EAGERNESS = { 'quiet', 'reserved', 'balanced', 'eager', 'always' }

---@class midfill.Model
---@field id string
---@field installed boolean
---@field downloadBytes integer
---@field memoryBytes integer?
---@field recommended boolean
---@field note string

---@class midfill.Models
---@field current string?
---@field models midfill.Model[]

local NO_SERVER = 'the server is not running. `:Midfill status` says why'

---@return boolean
local function is_running()
  local lsp = client.get()
  return lsp ~= nil and lsp.initialized == true
end

--- Asks for the models without waiting.
---@param done fun(models: midfill.Models?, problem: string?)
function M.with_models(done)
  if not is_running() then
    return done(nil, NO_SERVER)
  end
  client.request('midfill/models', vim.empty_dict(), function(failure, result)
    done(result, failure and failure.message)
  end, vim.api.nvim_get_current_buf())
end

--- The models that the server knows, for completing their names; nil: it did not answer soon.
---@return midfill.Models?
function M.models()
  local models, is_over ---@type midfill.Models?, boolean?
  M.with_models(function(found)
    models, is_over = found, true
  end)
  vim.wait(ANSWER_MS, function()
    return is_over == true
  end, 10)
  return models
end

---@param bytes integer
---@return string
local function size(bytes)
  if bytes >= 1e9 then
    return ('%.1f GB'):format(bytes / 1e9)
  end
  return ('%.0f MB'):format(bytes / 1e6)
end

--- One line about a model, for choosing.
---@param model midfill.Model
---@param current string?
---@return string
function M.describe(model, current)
  local facts = { model.installed and 'installed' or 'download of ' .. size(model.downloadBytes) }
  if model.recommended then
    table.insert(facts, 'recommended')
  end
  if model.id == current then
    table.insert(facts, 'in use')
  end
  if model.note ~= nil and model.note ~= '' then
    table.insert(facts, model.note)
  end
  return ('%s: %s'):format(model.id, table.concat(facts, ', '))
end

--- Tells the server of a setting, by its dotted name; it goes over to it at once.
---@param name string
---@param value string
---@return string? problem
function M.set(name, value)
  if not is_running() then
    return NO_SERVER
  end
  local setting = value ---@type any
  local keys = vim.split(name, '.', { plain = true })
  for index = #keys, 1, -1 do
    setting = { [keys[index]] = setting }
  end
  client.configure(setting)
end

--- Lets the user choose a model from a list.
---@param chosen fun(id: string)
---@param failed fun(problem: string)
function M.pick_model(chosen, failed)
  M.with_models(function(models, problem)
    if models == nil then
      return failed(problem or 'the server knows no models')
    end
    local automatic = { id = 'auto' }
    local choices = vim.list_extend({ automatic }, models.models)
    vim.ui.select(choices, {
      prompt = 'Model:',
      format_item = function(model)
        if model == automatic then
          return 'auto: the best model that this machine serves fast enough'
        end
        return M.describe(model, models.current)
      end,
    }, function(model)
      if model then
        chosen(model.id)
      end
    end)
  end)
end

--- Has the server fetch a model, or the one that it wants; it reports the progress itself.
---@param id? string
---@return string? problem
function M.download(id)
  if not is_running() then
    return NO_SERVER
  end
  local params = { command = 'midfill.download', arguments = id and { id } or {} }
  client.request('workspace/executeCommand', params, function(failure)
    if failure then
      vim.notify('midfill: ' .. failure.message, vim.log.levels.ERROR)
    end
  end, vim.api.nvim_get_current_buf())
end

return M
