-- Gives a user of a node a seat in a room. KEYS: meta, presence, seats of the node, what the node holds, idle rooms. ARGV:
-- reference, channel, name, mark, seconds a room lives without a use.
local limit = call('HGET', KEYS[1], 'x')
if not limit then
  return {'gone'}
end
local function renew()
  for key = 1, 4 do
    call('EXPIRE', KEYS[key], ARGV[5])
  end
end
local held = call('HGET', KEYS[2], ARGV[3])
if held and call('SISMEMBER', KEYS[3], ARGV[3]) == 1 then
  renew()
  return {'ok', 0, call('HLEN', KEYS[2])}
end
if not held and call('HLEN', KEYS[2]) >= tonumber(limit) then
  return {'full'}
end
call('SADD', KEYS[3], ARGV[3])
call('SADD', KEYS[4], 'r' .. ARGV[1])
local count = held and tonumber(string.match(held, '^%d+')) or 0
call('HSET', KEYS[2], ARGV[3], (count + 1) .. ARGV[4])
renew()
local users = call('HLEN', KEYS[2])
if held and string.sub(held, -1) == ARGV[4] then
  return {'ok', 0, users}
end
if held then
  -- Another kind of user has the name now.
  call('PUBLISH', ARGV[2], 'l ' .. users .. ' ' .. ARGV[3])
else
  call('ZREM', KEYS[5], ARGV[1])
end
call('PUBLISH', ARGV[2], 'j ' .. ARGV[4] .. ' ' .. users .. ' ' .. ARGV[3])
return {'ok', 1, users}
