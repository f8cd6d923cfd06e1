--- `:checkhealth midfill`: what is there, what is missing, and what to do about it.
local M = {}

local OLDEST_NEOVIM = '0.10'
local WAIT_MS = 20000

--- Plugins that show ghost text of their own, by what they leave behind once they are loaded.
---@type { name: string, module: string?, variable: string? }[]
local RIVALS = {
  { name = 'copilot.lua', module = 'copilot' },
  { name = 'copilot.vim', variable = 'loaded_copilot' },
  { name = 'codeium.vim', variable = 'loaded_codeium' },
  { name = 'llama.vim', variable = 'loaded_llama' },
  { name = 'minuet-ai.nvim', module = 'minuet' },
  { name = 'neocodeium', module = 'neocodeium' },
  { name = 'supermaven-nvim', module = 'supermaven-nvim' },
  { name = 'tabnine-nvim', module = 'tabnine' },
}

---@param bytes integer
---@return string
local function gigabytes(bytes)
  return ('%.2f GB'):format(bytes / 1e9)
end

local function check_neovim()
  local version = tostring(vim.version())
  if vim.fn.has('nvim-' .. OLDEST_NEOVIM) == 0 then
    vim.health.error(
      ('Neovim %s is too old'):format(version),
      'Use ' .. OLDEST_NEOVIM .. ' or newer.'
    )
  elseif require('midfill.native').is_available() then
    vim.health.ok(('Neovim %s, which has inline completion of its own'):format(version))
  else
    vim.health.ok(('Neovim %s'):format(version))
  end
end

--- Runs the server's command line and waits for it: a health check is asked for, and may wait.
---@param arguments string[]
---@return integer code
---@return string text
local function ask(arguments)
  local code, text ---@type integer?, string?
  require('midfill.report').run(arguments, function(...)
    code, text = ...
  end)
  vim.wait(WAIT_MS, function()
    return code ~= nil
  end, 20)
  return code or -1, text or 'no answer'
end

---@param report table what `midfill doctor --json` prints
local function tell_diagnosis(report)
  local versions = report.versions
  vim.health.ok(('midfill %s on Python %s'):format(versions.midfill, versions.python))
  for _, model in ipairs(report.models) do
    if model.state == 'ready' then
      vim.health.ok(('model %s is installed (%s)'):format(model.id, gigabytes(model.size_bytes)))
    end
  end
  local chosen = report.chosen
  if type(chosen) == 'table' then
    local what = ('%s is used, by %s on the %s'):format(chosen.id, chosen.backend, chosen.device)
    vim.health.info(('%s: %s'):format(what, chosen.reason))
  end
  for _, trouble in ipairs(report.troubles) do
    local tell = trouble.fatal and vim.health.error or vim.health.warn
    tell(trouble.message, trouble.remedy)
  end
  if report.paths.settings then
    vim.health.info('settings of the server: ' .. report.paths.settings)
  end
  vim.health.info('log of the server: ' .. report.paths.log)
end

---@return boolean found
local function check_server()
  local command, problem = require('midfill.client').command()
  if command == nil then
    vim.health.error(problem or 'no server was found', {
      ':Midfill install makes an environment for it and installs it there.',
      'Or install it yourself, and name it by the option cmd (:help midfill-options).',
    })
    return false
  end
  vim.health.ok(('server: %s'):format(table.concat(command, ' ')))
  local code, text = ask({ 'doctor', '--json', '--quick' })
  local ok, report = pcall(vim.json.decode, text, { luanil = { object = true } })
  if ok and type(report) == 'table' and report.versions then
    tell_diagnosis(report)
  else
    local advice = { 'What it said: ' .. vim.trim(text), ':Midfill install installs it anew.' }
    vim.health.error(
      ('it could not be asked how it is: it ended with code %d'):format(code),
      advice
    )
  end
  return true
end

local function check_client()
  local client = require('midfill.client').get()
  if client == nil then
    vim.health.info('no server runs now: it starts with the first file that is opened')
    return
  end
  local buffers = vim.tbl_count(client.attached_buffers)
  local status = require('midfill.status').current()
  vim.health.ok(('the server runs, for %d buffer(s); it is %s'):format(buffers, status.state))
  if status.message ~= '' then
    vim.health.info(status.message)
  end
end

local function check_options()
  if not require('midfill.config').is_set_up() then
    vim.health.warn('setup() did not run, so nothing is suggested', {
      "Call require('midfill').setup() in your configuration (:help midfill-setup).",
      'If it is there, it raised an error: see :messages.',
    })
    return
  end
  vim.health.ok('setup() ran')
  local settings = require('midfill.config').current().settings
  if next(settings) ~= nil then
    vim.health.info('settings that the server is told: ' .. vim.inspect(settings))
  end
  local trusted = require('midfill.config').current().trusted
  if type(trusted) ~= 'boolean' then
    vim.health.info('programs and settings of some projects are trusted, as your function says')
  elseif trusted then
    vim.health.info('programs and settings of all projects are trusted (the option trusted)')
  end
  local scope = require('midfill.pause').scope()
  if scope then
    vim.health.info(('suggestions are paused (%s): :Midfill resume ends that'):format(scope))
  end
end

--- What a key of insert mode is mapped to, if it is not ours.
---@param lhs string
---@return string?
local function other_owner(lhs)
  local mapping = vim.fn.maparg(lhs, 'i', false, true) --[[@as table<string, any>]]
  if vim.startswith(mapping.desc or '', 'midfill: ') then
    return nil
  end
  return mapping.desc or mapping.rhs or (mapping.callback and 'a function') or 'nothing'
end

local function check_keys()
  for name, lhs in vim.spairs(require('midfill.config').current().keymaps) do
    local owner = lhs and other_owner(lhs)
    if not lhs then
      vim.health.info(('no key for %s'):format(name))
    elseif owner then
      local advice = 'Give it another key, or call the function from there (:help midfill-keys).'
      vim.health.warn(('%s, for %s, is mapped to %s'):format(lhs, name, owner), advice)
    else
      vim.health.ok(('%s: %s'):format(lhs, name))
    end
  end
end

local function check_rivals()
  local found = false
  for _, rival in ipairs(RIVALS) do
    local is_loaded = rival.module and package.loaded[rival.module] ~= nil
      or rival.variable and vim.g[rival.variable] ~= nil
    if is_loaded then
      found = true
      vim.health.warn(rival.name .. ' is loaded: it shows ghost text at the same place', {
        'Switch the suggestions of one of them off.',
      })
    end
  end
  if not found then
    vim.health.ok('none is loaded')
  end
end

--- Called by `:checkhealth midfill`.
function M.check()
  vim.health.start('midfill: editor')
  check_neovim()
  vim.health.start('midfill: server')
  if check_server() then
    check_client()
  end
  vim.health.start('midfill: options')
  check_options()
  vim.health.start('midfill: keys')
  check_keys()
  vim.health.start('midfill: other plugins that show ghost text')
  check_rivals()
end

return M
