--- Installs the server into an environment of its own, from the checkout that this plugin lies in.
local M = {}

local OLDEST_PYTHON = { 3, 11 }
local PYTHONS = { 'python3.13', 'python3.12', 'python3.11', 'python3', 'python' }
local ON_WINDOWS = vim.fn.has('win32') == 1

--- Where the environment is, or would be.
---@return string
function M.folder()
  return vim.fs.joinpath(vim.fn.stdpath('data') --[[@as string]], 'midfill')
end

---@param name string
---@return string
local function executable(name)
  if ON_WINDOWS then
    return vim.fs.joinpath(M.folder(), 'Scripts', name .. '.exe')
  end
  return vim.fs.joinpath(M.folder(), 'bin', name)
end

--- What starts the server that `:Midfill install` installed; nil if it did not yet.
---@return string[]?
function M.command()
  local server = executable('midfill')
  if vim.fn.executable(server) == 1 then
    return { server, 'serve', '--stdio' }
  end
end

--- The checkout of midfill that this plugin is part of; nil if it was installed by itself.
---@return string?
function M.checkout()
  local here = debug.getinfo(1, 'S').source:sub(2)
  -- A plugin manager may have linked the folder into its own.
  local root = vim.fs.dirname(vim.uv.fs_realpath(here) or here)
  for _ = 1, 4 do
    root = vim.fs.dirname(root)
  end
  local project = vim.fs.joinpath(root, 'pyproject.toml')
  if vim.uv.fs_stat(project) == nil then
    return nil
  end
  for line in io.lines(project) do
    if line:find('^name%s*=%s*"midfill"') then
      return root
    end
  end
end

--- The log of the last installation.
---@return string
function M.log_path()
  return vim.fs.joinpath(vim.fn.stdpath('log') --[[@as string]], 'midfill-install.log')
end

---@param command string[]
---@return string
local function shown(command)
  local words = vim.tbl_map(function(word)
    return word:find('[^%w%-_./:\\=]') and '"' .. word .. '"' or word
  end, command)
  return table.concat(words, ' ')
end

---@param text string
---@param level? integer
local function say(text, level)
  vim.schedule(function()
    vim.notify('midfill: ' .. text, level or vim.log.levels.INFO)
  end)
end

--- Finds a Python that is new enough, without waiting for any.
---@param names string[]
---@param found fun(python: string?)
local function find_python(names, found)
  local name = names[1]
  if name == nil then
    return found(nil)
  end
  local function next_name()
    find_python(vim.list_slice(names, 2), found)
  end
  -- On Windows a `python` that is not installed is a link to the shop, which answers with an error.
  local path = vim.fn.exepath(name)
  if path == '' then
    return next_name()
  end
  local test = ('import sys; sys.exit(sys.version_info < (%d, %d))'):format(unpack(OLDEST_PYTHON))
  vim.system(
    { path, '-c', test },
    {},
    vim.schedule_wrap(function(result)
      if result.code == 0 then
        found(path)
      else
        next_name()
      end
    end)
  )
end

---@param command string[]
---@param log file*
---@param done fun(code: integer, said: string) with the complaint, else the last line
local function run(command, log, done)
  local last, complaint = '', nil ---@type string, string?
  local function take(_, data)
    if data == nil then
      return
    end
    log:write(data)
    log:flush()
    last = vim.trim(data):match('[^\r\n]*$')
    complaint = data:match('[Ee][Rr][Rr][Oo][Rr]: [^\r\n]*') or complaint
    vim.schedule(function()
      -- Beside the messages: a line that the next one replaces, which needs no key to go on.
      vim.api.nvim_echo({ { ('midfill: %s'):format(last:sub(1, vim.o.columns - 14)) } }, false, {})
    end)
  end
  log:write(shown(command) .. '\n')
  local options = { stdout = take, stderr = take }
  local finish = vim.schedule_wrap(function(result)
    done(result.code, complaint or last)
  end)
  local ok, problem = pcall(vim.system, command, options, finish)
  if not ok then
    done(1, tostring(problem))
  end
end

--- What is run, in this order.
---@param python string
---@param checkout string
---@return string[][]
function M.steps(python, checkout)
  -- Accelerators are for those who choose them: their packages are large, or need a compiler.
  local package = checkout .. '[cpu]'
  return {
    { python, '-m', 'venv', M.folder() },
    { executable('python'), '-m', 'pip', 'install', '--no-input', '--upgrade', package },
  }
end

---@param steps string[][]
---@param log file*
---@param done fun(problem: string?)
local function run_all(steps, log, done)
  local command = steps[1]
  if command == nil then
    return done(nil)
  end
  say(('running %s'):format(shown(command)))
  run(command, log, function(code, said)
    if code == 0 then
      return run_all(vim.list_slice(steps, 2), log, done)
    end
    local what = 'this failed with code %d: %s\n%s\nAll that it said: %s'
    done(what:format(code, shown(command), said, M.log_path()))
  end)
end

local is_running = false

--- Makes the environment and installs the server into it, or installs it anew; returns at once.
---@param done? fun(problem: string?) called when all is over
function M.install(done)
  local function finish(problem)
    is_running = false
    say(
      problem or ('installed in %s'):format(M.folder()),
      problem and vim.log.levels.ERROR or vim.log.levels.INFO
    )
    if done then
      done(problem)
    end
  end
  if is_running then
    return say('the installation is still running', vim.log.levels.WARN)
  end
  local checkout = M.checkout()
  if checkout == nil then
    return finish(
      'this plugin does not lie in a checkout of midfill, so there is nothing to install from. '
        .. "Get one and run: pip install '.[cpu]'"
    )
  end
  is_running = true
  find_python(PYTHONS, function(python)
    if python == nil then
      local wanted = ('Python %d.%d or newer'):format(unpack(OLDEST_PYTHON))
      return finish(('%s is needed; none was found on the PATH'):format(wanted))
    end
    vim.fn.mkdir(vim.fs.dirname(M.log_path()), 'p')
    local log, problem = io.open(M.log_path(), 'w')
    if log == nil then
      return finish(problem)
    end
    run_all(M.steps(python, checkout), log, function(failure)
      log:close()
      if failure == nil and M.command() == nil then
        failure = ('there is no %s, although all went well'):format(executable('midfill'))
      end
      finish(failure)
    end)
  end)
end

return M
