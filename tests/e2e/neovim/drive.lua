-- Drives Neovim as a user would: port, break, restore. Ends with a JSON report in $TORCHPORT_REPORT.
--
-- $TORCHPORT_CONFIG is the configuration under test, $TORCHPORT_SOURCE the file to port.

local report = { steps = {} }

local function finish(problem)
  report.problem = problem
  local file = assert(io.open(vim.env.TORCHPORT_REPORT, 'w'))
  file:write(vim.json.encode(report))
  file:close()
  vim.cmd('qall!')
end

local function step(name, value)
  report.steps[#report.steps + 1] = { name = name, value = value }
end

local function wait(what, condition)
  if not vim.wait(180000, condition, 50) then
    error('never happened: ' .. what)
  end
end

-- The menu of actions: the first one whose title begins so is taken.
local wanted = ''
local shown = {}
vim.ui.select = function(items, options, choose)
  shown = {}
  for index, item in ipairs(items) do
    local title = options.format_item and options.format_item(item) or item.action.title
    shown[#shown + 1] = title
  end
  for index, item in ipairs(items) do
    if item.action.title:sub(1, #wanted) == wanted then
      return choose(item, index)
    end
  end
  error(('no action %q in: %s'):format(wanted, table.concat(shown, '; ')))
end

local function act(title, line, column)
  wanted = title
  vim.api.nvim_win_set_cursor(0, { line, column or 0 })
  vim.lsp.buf.code_action()
end

local function text(buffer)
  return table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, true), '\n')
end

local function line_of(buffer, part)
  for number, line in ipairs(vim.api.nvim_buf_get_lines(buffer, 0, -1, true)) do
    if line:find(part, 1, true) then
      return number
    end
  end
  error(('%q is not in the buffer'):format(part))
end

local function main()
  dofile(vim.env.TORCHPORT_CONFIG)
  vim.cmd.edit(vim.env.TORCHPORT_SOURCE)
  local source = vim.api.nvim_get_current_buf()
  wait('the server attaches', function()
    return #vim.lsp.get_clients({ bufnr = source, name = 'torchport' }) == 1
  end)
  local client = vim.lsp.get_clients({ bufnr = source, name = 'torchport' })[1]
  step('encoding', client.offset_encoding)

  -- Port: the file appears beside the source.
  local port_path = (vim.env.TORCHPORT_SOURCE:gsub('%.py$', '_jax.py'))
  act('Port Wave to JAX', line_of(source, 'class Wave'))
  local port
  wait('the port appears', function()
    port = vim.fn.bufnr(port_path)
    return port > 0 and vim.api.nvim_buf_is_loaded(port) and text(port):find('nnx.Module', 1, true)
  end)
  step('actions', shown)
  vim.cmd.wall()
  vim.cmd.buffer(port)
  wait('the server attaches to the port', function()
    return #vim.lsp.get_clients({ bufnr = port, name = 'torchport' }) == 1
  end)
  local lens
  wait('the verdict', function()
    local answers = vim.lsp.buf_request_sync(
      port, 'textDocument/codeLens', { textDocument = vim.lsp.util.make_text_document_params(port) }, 5000
    )
    for _, answer in pairs(answers or {}) do
      for _, item in ipairs(answer.result or {}) do
        lens = item.command.title
      end
    end
    return lens ~= nil
  end)
  step('lens', lens)
  local verified = text(port)

  -- Break a line that has characters outside the BMP before what changes, and save.
  local line = line_of(port, 'jnp.sin')
  local old = vim.api.nvim_buf_get_lines(port, line - 1, line, true)[1]
  vim.api.nvim_buf_set_lines(port, line - 1, line, true, { (old:gsub('jnp%.sin', 'jnp.cos')) })
  vim.cmd.write()
  local function divergences()
    return vim.tbl_filter(function(item)
      return item.source == 'torchport check'
    end, vim.diagnostic.get(port))
  end
  wait('the divergence', function()
    return #divergences() > 0
  end)
  local problem = divergences()[1]
  step('divergence', { line = problem.lnum + 1, expected = line, code = problem.code })

  -- The fix puts back what was verified.
  act('Restore Wave', problem.lnum + 1, problem.col)
  wait('the text is restored', function()
    return text(port) == verified
  end)
  vim.cmd.write()
  wait('the divergence is gone', function()
    return #divergences() == 0
  end)
  step('restored', true)
  client:stop()
  wait('the server ends', function()
    return client:is_stopped()
  end)
end

local ok, problem = xpcall(main, debug.traceback)
finish(not ok and problem or nil)
