-- Takes out the people of a node whose lease is over, a chunk at a time. KEYS: nodes, figures, what the node holds, idle
-- rooms, registrations. ARGV: node, prefix, seats and names in a chunk, names told. Returns how many there were, and whether that was all.
local now = milliseconds()
local lease = call('ZSCORE', KEYS[1], ARGV[1])
if not lease or (tonumber(lease) >= now and ARGV[5] ~= '1') then
  return {0, 1}
end
local swept, chunk = 0, tonumber(ARGV[3])
while swept < chunk do
  local reference = call('SRANDMEMBER', KEYS[3])
  if not reference then
    call('ZREM', KEYS[1], ARGV[1])
    call('HDEL', KEYS[2], ARGV[1])
    call('HDEL', KEYS[5], ARGV[1])
    return {swept, 1}
  end
  local kind, tag, name = string.match(reference, '^(.)(%d+)\n(.*)$')
  local base = ARGV[2] .. '{' .. tag .. '}'
  if kind == 'u' then
    local holders = base .. 'u:' .. name
    for _, field in ipairs(call('HKEYS', holders)) do
      local node, spelt = string.match(field, '^(%S+) (.*)$')
      if node == ARGV[1] then
        call('HDEL', holders, field)
        drop_name(holders, base .. 'us', KEYS[3], node, spelt, tag .. '\n' .. name)
      end
    end
    end_holds(holders, now)
    call('SREM', KEYS[3], reference)
    swept = swept + 1
  else
    local seats = base .. 's:' .. ARGV[1] .. ':' .. name
    local presence, channel = base .. 'p:' .. name, base .. 'r:' .. name
    local is_told = call('HLEN', presence) <= tonumber(ARGV[4])
    local users = call('SRANDMEMBER', seats, chunk - swept)
    for _, user in ipairs(users) do
      leave(base .. 'm:' .. name, presence, seats, KEYS[4], tag .. '\n' .. name, channel, user, is_told)
    end
    if not is_told then
      call('PUBLISH', channel, 'c ' .. call('HLEN', presence))
    end
    swept = swept + #users
    if call('SCARD', seats) == 0 then
      call('SREM', KEYS[3], reference)
    end
  end
end
return {swept, 0}
