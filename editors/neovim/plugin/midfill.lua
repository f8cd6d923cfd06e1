-- All else is loaded by `require('midfill').setup()`, or when the command is used.
if vim.g.loaded_midfill then
  return
end
vim.g.loaded_midfill = true

vim.api.nvim_create_user_command('Midfill', function(call)
  local lines = call.range > 0 and { call.line1, call.line2 } or nil
  require('midfill.command').run(call.fargs, lines)
end, {
  nargs = '*',
  range = true,
  desc = 'Suggestions of midfill',
  complete = function(lead, line, position)
    return require('midfill.command').complete(lead, line:sub(1, position))
  end,
})
