-- Orders and keeps a message, and tells it to all nodes.
-- KEYS: meta, history, deleted messages, or also the key of its id. ARGV: an epoch, channel, payload, fingerprint, seconds an id is
-- kept, the tag of a message that is sent again or nothing, messages kept, bytes kept, messages kept whatever their bytes, seconds
-- a room lives without a use, the least number that a message that is sent again can have, the epoch of the room as its node knows
-- it, how exactly the number of messages is kept, seconds for which they are or nothing.
local meta = call('HMGET', KEYS[1], 'e', 'c')
local epoch = meta[1]
if not epoch then
  return {'gone'}
end
if KEYS[4] then
  -- One of a room of this name that was removed since was not said in this room.
  local known = call('GET', KEYS[4])
  if known and string.match(known, '%S+$') == meta[2] then
    return {'known', known}
  end
end
if ARGV[6] ~= '' then
  for _, entry in ipairs(call('XRANGE', KEYS[2], ARGV[11] .. '-0', '+')) do
    if string.sub(entry[2][4], 1, #ARGV[6]) == ARGV[6] then
      return {'known', ARGV[4] .. ' ' .. epoch .. ' ' .. string.match(entry[1], '^%d+')}
    end
  end
  local deleted = call('HGETALL', KEYS[3])
  for i = 1, #deleted, 2 do
    if string.match(deleted[i + 1], '%S+$') .. '\n' == ARGV[6] then
      return {'known', ARGV[4] .. ' ' .. epoch .. ' ' .. deleted[i]}
    end
  end
end
if epoch ~= ARGV[12] then
  -- An earlier message of the same author may have found the room gone, and comes again: this one may not come before it.
  return {'gone'}
end
local now = whole(milliseconds())
local place = whole(call('HINCRBY', KEYS[1], 's', 1))
-- If none is kept, the mark is: by it the message is known when it is sent again.
local kept = ARGV[7] == '0' and string.match(ARGV[3], '^[^\n]*\n') or ARGV[3]
local first = whole(math.max(place - math.max(ARGV[7], 1) + 1, 1))
local added = redis.pcall('XADD', KEYS[2], 'MINID', ARGV[13], first .. '-0', place .. '-0', 't', now, 'p', kept)
if type(added) == 'table' and added.err then
  -- The history is not that of this room's numbers: its past is lost.
  call('DEL', KEYS[2], KEYS[3])
  call('HSET', KEYS[1], 'e', ARGV[1], 's', 0, 'b', 0)
  call('PUBLISH', ARGV[2], 'e')
  return {'renewed'}
end
if tonumber(place) % 1000 == 1 then
  for key = 1, 3 do
    call('EXPIRE', KEYS[key], ARGV[10])
  end
end
if ARGV[14] ~= '' then
  -- Also where no node drops what is too old, because nobody has the room open.
  note_newest(KEYS[1], KEYS[2])
  call('EXPIRE', KEYS[2], ARGV[14])
end
if call('HINCRBY', KEYS[1], 'b', #kept) > 2 * ARGV[8] then
  local count, bytes = 0, 0
  for i, entry in ipairs(call('XREVRANGE', KEYS[2], '+', '-')) do
    local more = bytes + #entry[2][4]
    if i > tonumber(ARGV[9]) and more > tonumber(ARGV[8]) then
      break
    end
    count, bytes = i, more
  end
  call('XTRIM', KEYS[2], 'MAXLEN', count)
  call('HSET', KEYS[1], 'b', bytes)
end
if KEYS[4] then
  call('SET', KEYS[4], ARGV[4] .. ' ' .. epoch .. ' ' .. place .. ' ' .. meta[2], 'EX', ARGV[5])
end
call('PUBLISH', ARGV[2], 'm ' .. epoch .. ' ' .. place .. ' ' .. now .. ' ' .. ARGV[3])
return {'ok', epoch, place, now}
