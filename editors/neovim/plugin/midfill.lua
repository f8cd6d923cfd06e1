-- All else is loaded by `require('midfill').setup()`, or when the command is used.
if vim.g.loaded_midfill then
  return
end
vim.g.loaded_midfill = true

vim.api.nvim_create_user_command('Midfill', function(call)
  require('midfill.command').run(call.fargs)
end, {
  nargs = '*',
  desc = 'Suggestions of midfill',
  complete = function(lead, line, position)
    return require('midfill.command').complete(lead, line:sub(1, position))
  end,
})
