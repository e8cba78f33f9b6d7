-- Numbers and keeps an event, and tells it to all nodes. KEYS: events, the number of the newest, the latest of each channel,
-- leader, posted figures. ARGV: node, whether the node has sampled it as the leader, the newest number known to it, channel of events,
-- name, data, posted figures or nothing, events kept, channels kept.
if ARGV[2] == '1' and call('GET', KEYS[4]) ~= ARGV[1] then
  return {'fenced'}
end
-- An engine that has lost some gives out no number twice that a node knows.
if tonumber(call('GET', KEYS[2]) or 0) < tonumber(ARGV[3]) then
  call('SET', KEYS[2], ARGV[3])
end
local id = whole(call('INCR', KEYS[2]))
local function add()
  return redis.pcall('XADD', KEYS[1], 'MAXLEN', ARGV[8], id .. '-0', 'n', ARGV[5], 'd', ARGV[6])
end
local added = add()
if type(added) == 'table' and added.err then
  call('DEL', KEYS[1])
  add()
end
if ARGV[2] ~= '1' and ARGV[7] == '' then
  call('HSET', KEYS[3], ARGV[5], id .. ' ' .. ARGV[6])
  if call('HLEN', KEYS[3]) > tonumber(ARGV[9]) then
    local all, oldest = call('HGETALL', KEYS[3]), nil
    for i = 1, #all, 2 do
      local number = tonumber(string.match(all[i + 1], '^%d+'))
      if not oldest or number < oldest[1] then
        oldest = {number, all[i]}
      end
    end
    call('HDEL', KEYS[3], oldest[2])
  end
end
if ARGV[7] ~= '' then
  call('SET', KEYS[5], ARGV[7])
end
call('PUBLISH', ARGV[4], id .. '\n' .. ARGV[5] .. '\n' .. ARGV[7] .. '\n' .. ARGV[6])
return {'ok', id}
