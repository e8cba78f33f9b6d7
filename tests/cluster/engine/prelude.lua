-- What scripts find in the engine. Given: a command, one that answers errors, the text of an error that a command raised
-- (nothing for other errors), the line of the script, the digest, the version 5.1 of Lua as it comes.
local call, pcall_command, text_of, line, sha1hex, lua = ...

local function single(field)
  return function(text)
    if type(text) ~= 'string' then
      return {err = 'ERR wrong number or type of arguments'}
    end
    return {[field] = text}
  end
end

local function error_reply(text)
  if type(text) ~= 'string' then
    return {err = 'ERR wrong number or type of arguments'}
  end
  text = string.gsub(text, '[\r\n]+$', '')
  if string.sub(text, 1, 1) == '-' then
    text = string.sub(text, 2)
    if not string.find(text, ' ', 1, true) then
      text = 'ERR ' .. text
    end
  elseif not string.find(text, ' ', 1, true) then
    text = 'ERR ' .. text
  end
  return {err = text}
end

local values = {
  redis = {
    call = call, pcall = pcall_command, error_reply = error_reply, status_reply = single('ok'), sha1hex = sha1hex,
    log = function() end, setresp = function() end, set_repl = function() end, replicate_commands = function() return true end,
    breakpoint = function() return false end,
    LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
    REDIS_VERSION = '7.0.15', REDIS_VERSION_NUM = 0x0007000f,
  },
}
for _, name in ipairs({
  'assert', 'collectgarbage', 'error', 'getmetatable', 'ipairs', 'next', 'pairs', 'rawequal', 'rawget', 'rawset', 'select',
  'setmetatable', 'string', 'table', 'tonumber', 'tostring', 'type', 'unpack', 'xpcall', '_VERSION',
}) do
  values[name] = lua[name]
end
values.math = {}
for name, value in pairs(lua.math) do
  -- Chance would not be the same on every machine.
  if name ~= 'random' and name ~= 'randomseed' then
    values.math[name] = value
  end
end

-- A script that catches the error of a command gets its text.
local function shown(is_good, problem, ...)
  return is_good, not is_good and text_of(problem) or problem, ...
end
function values.pcall(body, ...)
  return shown(lua.pcall(body, ...))
end

local globals = setmetatable({}, {
  __index = function(_, name)
    local value = values[name]
    if value == nil then
      error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
    end
    return value
  end,
  __newindex = function()
    error('Attempt to modify a readonly table', 2)
  end,
})
values._G = globals

local function run(body, digest, keys, arguments)
  values.KEYS, values.ARGV = keys, arguments
  return lua.xpcall(body, function(problem)
    local text = text_of(problem)
    if not text and type(problem) == 'table' then
      text = type(problem.err) == 'string' and problem.err or 'ERR unknown error'
    end
    text = text or 'ERR ' .. tostring(problem)
    local at = line()
    return at and text .. ' script: ' .. digest .. ', on @user_script:' .. at .. '.' or text
  end)
end

return globals, run
