--- What the user chose in `setup`.
local M = {}

---@class midfill.Keymaps each a key, or false for none
---@field accept string|false
---@field accept_word string|false
---@field accept_line string|false
---@field next string|false
---@field prev string|false
---@field dismiss string|false
---@field trigger string|false

---@class midfill.Config
---@field cmd string[]? what starts the server; nil looks for it
---@field enabled boolean|fun(bufnr: integer): boolean where suggestions are made
---@field filetypes table<string, boolean> exceptions by filetype; '*' is all others
---@field settings table the server's settings, as in its documentation
---@field root_markers string[] what the root of a project contains
---@field trusted boolean|fun(folder: string): boolean whether programs of a project may be run
---@field auto_trigger boolean whether suggestions come unasked
---@field ghost 'auto'|'native'|'midfill' who draws: Neovim itself (0.12), or this plugin
---@field highlight string the highlight group that MidfillSuggestion links to
---@field keymaps midfill.Keymaps

---@type midfill.Config
local DEFAULTS = {
  cmd = nil,
  enabled = true,
  filetypes = {},
  settings = {},
  root_markers = {
    '.git',
    '.hg',
    '.midfillignore',
    'pyproject.toml',
    'package.json',
    'Cargo.toml',
    'go.mod',
  },
  trusted = false,
  auto_trigger = true,
  ghost = 'auto',
  highlight = 'Comment',
  keymaps = {
    accept = '<Tab>',
    accept_word = '<M-Right>',
    accept_line = '<M-C-Right>',
    next = '<M-]>',
    prev = '<M-[>',
    dismiss = '<C-]>',
    trigger = '<M-Bslash>',
  },
}

---@alias midfill.Check fun(value: any): string? what is wanted instead

---@param kind string
---@return midfill.Check
local function a(kind)
  return function(value)
    if type(value) ~= kind then
      return ('a %s'):format(kind)
    end
  end
end

---@param value any
---@return string?
local function strings(value)
  local wanted = 'a list of strings'
  if type(value) ~= 'table' or not vim.islist(value) then
    return wanted
  end
  for _, item in ipairs(value) do
    if type(item) ~= 'string' then
      return wanted
    end
  end
end

---@param value any
---@return string?
local function command(value)
  if strings(value) or #value == 0 then
    return "a list, as { 'midfill', 'serve', '--stdio' }"
  end
end

---@param value any
---@return string?
local function by_filetype(value)
  local wanted = "a table of booleans by filetype, as { markdown = false, ['*'] = true }"
  if type(value) ~= 'table' then
    return wanted
  end
  for name, is_on in pairs(value) do
    if type(name) ~= 'string' or type(is_on) ~= 'boolean' then
      return wanted
    end
  end
end

---@param value any
---@return string?
local function key(value)
  if value ~= false and (type(value) ~= 'string' or value == '') then
    return 'a key, or false for none'
  end
end

---@type table<string, midfill.Check>
local CHECKS = {
  cmd = command,
  enabled = function(value)
    if type(value) ~= 'boolean' and not vim.is_callable(value) then
      return 'a boolean, or a function from a buffer to one'
    end
  end,
  filetypes = by_filetype,
  settings = a('table'),
  root_markers = strings,
  trusted = function(value)
    if type(value) ~= 'boolean' and not vim.is_callable(value) then
      return 'a boolean, or a function from a folder to one'
    end
  end,
  auto_trigger = a('boolean'),
  ghost = function(value)
    if not vim.list_contains({ 'auto', 'native', 'midfill' }, value) then
      return "'auto', 'native' or 'midfill'"
    end
  end,
  highlight = a('string'),
  keymaps = a('table'),
}

---@type table<string, midfill.Check>
local KEYMAP_CHECKS = vim.tbl_map(function()
  return key
end, DEFAULTS.keymaps)

--- How many single-letter edits make one word of another.
---@param one string
---@param other string
---@return integer
local function distance(one, other)
  local row = {}
  for column = 0, #other do
    row[column] = column
  end
  for i = 1, #one do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #other do
      local change = one:byte(i) == other:byte(j) and 0 or 1
      diagonal, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, diagonal + change)
    end
  end
  return row[#other]
end

---@param name string
---@param known string[]
---@return string
local function nearest(name, known)
  table.sort(known, function(one, other)
    local first, second = distance(name, one), distance(name, other)
    return first < second or (first == second and one < other)
  end)
  return known[1]
end

---@param options table
---@param checks table<string, midfill.Check>
---@param prefix string
local function validate(options, checks, prefix)
  for name, value in vim.spairs(options) do
    local check = checks[name]
    if check == nil then
      local known = nearest(tostring(name), vim.tbl_keys(checks))
      error(
        ('midfill: there is no option "%s%s"; do you mean "%s%s"?'):format(
          prefix,
          name,
          prefix,
          known
        ),
        0
      )
    end
    local wanted = check(value)
    if wanted then
      error(
        ('midfill: option "%s%s" must be %s, not %s'):format(
          prefix,
          name,
          wanted,
          vim.inspect(value)
        ),
        0
      )
    end
  end
end

---@type midfill.Config
local current = DEFAULTS

--- Reads the options of `setup`. Raises an error that names the option that is wrong.
---@param options table?
---@return midfill.Config
function M.read(options)
  options = options or {}
  if type(options) ~= 'table' then
    error('midfill: setup takes a table of options', 0)
  end
  validate(options, CHECKS, '')
  validate(options.keymaps or {}, KEYMAP_CHECKS, 'keymaps.')
  current = vim.tbl_extend('force', DEFAULTS, options)
  current.keymaps = vim.tbl_extend('force', DEFAULTS.keymaps, options.keymaps or {})
  return current
end

--- Whether options were read: else nothing is suggested.
---@return boolean
function M.is_set_up()
  return current ~= DEFAULTS
end

--- What holds now.
---@return midfill.Config
function M.current()
  return current
end

return M
