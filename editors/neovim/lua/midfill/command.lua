--- The command `:Midfill`: its subcommands, what completes them, and clear words where one is wrong.
local choice = require('midfill.choice')
local config = require('midfill.config')
local notice = require('midfill.notice')

local M = {}

local SCOPES = { 'buffer', 'filetype', 'all', 'hour' }
local PARTS = { 'word', 'line' }
local LENGTHS = { 'short', 'medium', 'long' }

---@class midfill.Subcommand
---@field about string what it does, in a few words
---@field run fun(argument: string?, lines: midfill.Lines?)
---@field values? fun(): string[] what its argument may be
---@field is_open? boolean whether its argument may be something else, too
---@field takes_lines? boolean
---@field needs_no_setup? boolean

local say, fail = notice.say, notice.fail

---@param list string[]
---@return fun(): string[]
local function one_of(list)
  return function()
    return list
  end
end

---@return string[]
local function model_ids()
  local models = choice.models()
  local ids = models and vim.tbl_map(function(model)
    return model.id
  end, models.models) or {}
  return vim.list_extend({ 'auto' }, ids)
end

---@param name string
---@return fun(argument: string?)
local function api(name)
  return function(argument)
    require('midfill')[name](argument)
  end
end

---@param setting string
---@param value string
local function choose(setting, value)
  local problem = choice.set(setting, value)
  if problem then
    return fail(problem)
  end
  say(('%s is now %s, until Neovim is left'):format(setting, value))
end

--- Sets a setting with a few values; without a value the user is asked for one.
---@param setting string
---@param values string[]
---@return fun(argument: string?)
local function chooser(setting, values)
  return function(argument)
    if argument then
      return choose(setting, argument)
    end
    vim.ui.select(values, { prompt = setting .. ':' }, function(value)
      if value then
        choose(setting, value)
      end
    end)
  end
end

---@param id string?
local function model(id)
  if id then
    return choose('model', id)
  end
  choice.pick_model(function(chosen)
    choose('model', chosen)
  end, fail)
end

---@param id string?
local function download(id)
  local problem = choice.download(id)
  if problem then
    fail(problem)
  end
end

local function status()
  local now = require('midfill.status').current()
  local said = { now.state }
  for _, fact in ipairs({ now.message, now.model, now.device }) do
    if fact ~= '' then
      table.insert(said, fact)
    end
  end
  say(table.concat(said, ', '))
end

local function log()
  local path = require('midfill.status').current().log
  if path == nil or vim.uv.fs_stat(path) == nil then
    -- What a server wrote that got no further than this lies in Neovim's own log.
    path = vim.lsp.get_log_path()
  end
  vim.cmd.split(vim.fn.fnameescape(path))
  vim.bo.autoread = true
  vim.bo.readonly = true
  vim.cmd('normal! G')
end

local function install()
  require('midfill.install').install(function(problem)
    if problem == nil and config.is_set_up() then
      require('midfill.client').restart()
    end
  end)
end

---@param part string?
local function accept(part)
  require('midfill')[part and 'accept_' .. part or 'accept']()
end

---@type table<string, midfill.Subcommand>
M.subcommands = {
  accept = {
    about = 'accept the suggestion, or its next word or line',
    run = accept,
    values = one_of(PARTS),
  },
  cancel = { about = 'give up what is being computed', run = api('cancel') },
  dismiss = { about = 'hide the suggestion', run = api('dismiss') },
  doctor = {
    about = 'check the installation, and say what to do about each problem',
    run = function()
      require('midfill.report').show(
        { 'doctor' },
        'Checking; measuring the speed takes a while …'
      )
    end,
    needs_no_setup = true,
  },
  download = {
    about = 'fetch a model, or the one that is missing',
    run = download,
    values = model_ids,
    is_open = true,
  },
  eagerness = {
    about = 'how sure a suggestion must be to be shown',
    run = chooser('completion.eagerness', choice.EAGERNESS),
    values = one_of(choice.EAGERNESS),
  },
  explain = {
    about = 'explain what is selected, or what the cursor is at',
    run = function(length, lines)
      require('midfill').explain({ length = length, lines = lines })
    end,
    values = one_of(LENGTHS),
    takes_lines = true,
  },
  fix = {
    about = 'fix what was found wrong here',
    run = function(_, lines)
      require('midfill').fix({ lines = lines })
    end,
    takes_lines = true,
  },
  fixall = { about = 'fix all problems of one kind in the file', run = api('fix_all') },
  generate = { about = 'write what the comment at the cursor asks for', run = api('generate') },
  install = {
    about = 'install the server from the checkout of this plugin',
    run = install,
    needs_no_setup = true,
  },
  log = { about = "open the server's log", run = log },
  model = {
    about = 'use another model; without a name, choose from a list',
    run = model,
    values = model_ids,
    is_open = true,
  },
  next = { about = 'show the next alternative', run = api('next') },
  pause = { about = 'suggest nothing', run = api('pause'), values = one_of(SCOPES) },
  prev = { about = 'show the previous alternative', run = api('prev') },
  profile = {
    about = 'compute ahead, or save energy',
    run = chooser('profile', choice.PROFILES),
    values = one_of(choice.PROFILES),
  },
  restart = {
    about = 'start the server anew',
    run = function()
      require('midfill.client').restart()
    end,
  },
  resume = { about = 'suggest again', run = api('resume'), values = one_of(SCOPES) },
  stats = {
    about = 'show how fast completions were',
    run = function()
      require('midfill.report').show({ 'stats' }, 'Reading …')
    end,
    needs_no_setup = true,
  },
  status = { about = 'say what the server is doing', run = status },
  toggle = { about = 'pause, or resume', run = api('toggle'), values = one_of(SCOPES) },
  trigger = { about = 'ask for a suggestion', run = api('trigger') },
}

---@return string[]
local function names()
  local all = vim.tbl_keys(M.subcommands)
  table.sort(all)
  return all
end

--- Runs a subcommand by its name and argument.
---@param words string[]
---@param lines? midfill.Lines
function M.run(words, lines)
  local name, argument = words[1] or 'status', words[2]
  local subcommand = M.subcommands[name]
  if subcommand == nil then
    return fail(
      ('there is no `:Midfill %s`. There is: %s'):format(name, table.concat(names(), ', '))
    )
  end
  if #words > (subcommand.values and 2 or 1) then
    local limit = subcommand.values and 'one argument' or 'no argument'
    return fail(('`:Midfill %s` takes %s'):format(name, limit))
  end
  if lines and not subcommand.takes_lines then
    return fail(('`:Midfill %s` takes no range'):format(name))
  end
  local values = argument and not subcommand.is_open and subcommand.values()
  if values and not vim.tbl_contains(values, argument) then
    local allowed = table.concat(values, ', ')
    return fail(('`:Midfill %s %s`: say one of %s'):format(name, argument, allowed))
  end
  if not subcommand.needs_no_setup and not config.is_set_up() then
    return fail('setup() did not run, so nothing is suggested: see `:checkhealth midfill`')
  end
  subcommand.run(argument, lines)
end

--- What may stand where the cursor of the command line is.
---@param lead string
---@param line string
---@return string[]
function M.complete(lead, line)
  local words = vim.split(vim.trim(line:match('Midfill!?(.*)$') or ''), '%s+', { trimempty = true })
  local before = lead == '' and #words or #words - 1
  local candidates = {}
  if before == 0 then
    candidates = names()
  elseif before == 1 then
    local subcommand = M.subcommands[words[1]]
    candidates = subcommand and subcommand.values and subcommand.values() or {}
  end
  return vim.tbl_filter(function(candidate)
    return vim.startswith(candidate, lead)
  end, candidates)
end

return M
