-- Orders and keeps a message, and tells it to all nodes.
-- KEYS: meta, history, or also the key of its id. ARGV: an epoch, channel, payload, fingerprint, seconds an id is kept,
-- the tag of a message that is sent again or nothing, messages kept, bytes kept, messages kept whatever their bytes, seconds a
-- room lives without a use, the least number that a message that is sent again can have, the epoch of the room as its node knows it.
local epoch = call('HGET', KEYS[1], 'e')
if not epoch then
  return {'gone'}
end
if KEYS[3] then
  local known = call('GET', KEYS[3])
  if known then
    return {'known', known}
  end
end
if ARGV[6] ~= '' then
  for _, entry in ipairs(call('XRANGE', KEYS[2], ARGV[11] .. '-0', '+')) do
    if string.sub(entry[2][4], 1, #ARGV[6]) == ARGV[6] then
      return {'known', ARGV[4] .. ' ' .. epoch .. ' ' .. string.match(entry[1], '^%d+')}
    end
  end
end
if epoch ~= ARGV[12] then
  -- An earlier message of the same author may have found the room gone, and comes again: this one may not come before it.
  return {'gone'}
end
local now = whole(milliseconds())
local place = whole(call('HINCRBY', KEYS[1], 's', 1))
local added = redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', ARGV[7], place .. '-0', 't', now, 'p', ARGV[3])
if type(added) == 'table' and added.err then
  -- The history is not that of this room's numbers: its past is lost.
  call('DEL', KEYS[2])
  call('HSET', KEYS[1], 'e', ARGV[1], 's', 0, 'b', 0)
  call('PUBLISH', ARGV[2], 'e')
  return {'renewed'}
end
if tonumber(place) % 1000 == 1 then
  call('EXPIRE', KEYS[1], ARGV[10])
  call('EXPIRE', KEYS[2], ARGV[10])
end
if call('HINCRBY', KEYS[1], 'b', #ARGV[3]) > 2 * ARGV[8] then
  local kept, bytes = 0, 0
  for i, entry in ipairs(call('XREVRANGE', KEYS[2], '+', '-')) do
    local more = bytes + #entry[2][4]
    if i > tonumber(ARGV[9]) and more > tonumber(ARGV[8]) then
      break
    end
    kept, bytes = i, more
  end
  call('XTRIM', KEYS[2], 'MAXLEN', kept)
  call('HSET', KEYS[1], 'b', bytes)
end
if KEYS[3] then
  call('SET', KEYS[3], ARGV[4] .. ' ' .. epoch .. ' ' .. place, 'EX', ARGV[5])
end
call('PUBLISH', ARGV[2], 'm ' .. epoch .. ' ' .. place .. ' ' .. now .. ' ' .. ARGV[3])
return {'ok', epoch, place, now}
