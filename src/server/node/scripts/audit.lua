-- Numbers and keeps lines of the audit, and tells them to all who follow it. KEYS: events, the number of the newest. ARGV: channel,
-- events kept, the greatest number known to the node, mark, whether they are sent again, lines.
if ARGV[5] == '1' then
  for _, entry in ipairs(call('XREVRANGE', KEYS[1], '+', '-')) do
    if entry[2][4] == ARGV[4] then
      return call('GET', KEYS[2])
    end
  end
end
-- An engine that has lost some, or all, gives out no number twice.
local newest = tonumber(call('GET', KEYS[2]) or milliseconds())
call('SET', KEYS[2], whole(math.max(newest, ARGV[3])))
local id
for i = 6, #ARGV do
  id = whole(call('INCR', KEYS[2]))
  local function add()
    return redis.pcall('XADD', KEYS[1], 'MAXLEN', ARGV[2], id .. '-0', 'd', ARGV[i], 'm', ARGV[4])
  end
  local added = add()
  if type(added) == 'table' and added.err then
    call('DEL', KEYS[1])
    add()
  end
  call('PUBLISH', ARGV[1], id .. '\n' .. ARGV[i])
end
return id
