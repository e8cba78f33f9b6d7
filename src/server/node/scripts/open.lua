-- Opens a room on a node: its settings, who is there, and its history.
-- KEYS: meta, history, presence, deleted messages, rooms, idle rooms, seats of the node, that the room was removed. ARGV: prefix,
-- tag, room, what to do if there is none (0 nothing, 1 make it, 2 make it and refuse one that is there), limit of users, whether
-- it is kept, epoch, limit of rooms, seconds it lives without a use, milliseconds a kept room is kept, and one in which nothing was
-- said, names told, messages told, run of the engine, the epoch of a room that may have lost its past, the epoch that the node has
-- or nothing.
local epoch = call('HGET', KEYS[1], 'e')
if epoch ~= ARGV[16] and was_removed(KEYS[8], ARGV[16]) then
  return {'removed'}
end
if epoch and call('HGET', KEYS[1], 'g') ~= ARGV[14] then
  -- As in check.lua.
  call('HSET', KEYS[1], 'e', ARGV[15], 'g', ARGV[14], 'o', epoch)
  epoch = ARGV[15]
  call('PUBLISH', ARGV[1] .. '{' .. ARGV[2] .. '}r:' .. ARGV[3], 'e')
end
-- One with the proposed epoch was made by this command, which has come before.
if epoch and ARGV[4] == '2' and epoch ~= ARGV[7] then
  return {'exists'}
end

local function make_way(now)
  for _, reference in ipairs(call('ZRANGEBYSCORE', KEYS[6], '-inf', whole(now), 'LIMIT', 0, 64)) do
    local tag, room = string.match(reference, '^(%d+)\n(.*)$')
    local base = ARGV[1] .. '{' .. tag .. '}'
    call('ZREM', KEYS[6], reference)
    if call('HLEN', base .. 'p:' .. room) == 0 then
      call('DEL', base .. 'm:' .. room, base .. 'h:' .. room, base .. 'p:' .. room, base .. 'x:' .. room)
      call('ZREM', KEYS[5], room)
      call('PUBLISH', base .. 'r:' .. room, 'x')
      return room
    end
  end
end
local gone

if not epoch then
  if ARGV[4] == '0' then
    return {'none'}
  end
  local now = milliseconds()
  if call('ZCARD', KEYS[5]) >= tonumber(ARGV[8]) and not call('ZSCORE', KEYS[5], ARGV[3]) then
    gone = make_way(now)
    if not gone then
      return {'limit'}
    end
  end
  epoch = ARGV[7]
  call('DEL', KEYS[2], KEYS[4])
  call('HSET', KEYS[1], 'e', epoch, 's', 0, 'b', 0, 'x', ARGV[5], 'k', ARGV[6], 'c', whole(now), 'g', ARGV[14], 'w', ARGV[10], 'v', ARGV[11])
  call('ZADD', KEYS[5], 0, ARGV[3])
  if call('HLEN', KEYS[3]) == 0 then
    idle(KEYS[1], KEYS[6], ARGV[2] .. '\n' .. ARGV[3])
  end
end
local meta = call('HMGET', KEYS[1], 's', 'x', 'k', 'c', 'n', 'r')
for key = 1, 4 do
  if key ~= 2 or not age_of(meta[6]) then
    call('EXPIRE', KEYS[key], ARGV[9])
  end
end
local users = call('HLEN', KEYS[3])
local names
if users <= tonumber(ARGV[12]) then
  names = call('HGETALL', KEYS[3])
else
  names = call('HRANDFIELD', KEYS[3], ARGV[12], 'WITHVALUES')
end
local entries = call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ARGV[13])
-- As set.lua tells them.
local settings = meta[2] .. ' ' .. meta[3] .. ' ' .. (meta[6] or ARGV[13] .. ' 0 e')
return {'ok', epoch, meta[1], settings, meta[4], users, names, entries, call('SMEMBERS', KEYS[7]), meta[5] or 0,
  call('HGETALL', KEYS[4]), gone or ''}
