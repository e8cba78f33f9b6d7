-- Compares a room with what a node has of it. KEYS: meta, history. ARGV: epoch, number and tag of the newest message that
-- the node has, another epoch, channel, seconds a room lives without a use, run of the engine.
local meta = call('HMGET', KEYS[1], 'e', 's', 'g')
if not meta[1] then
  return {'gone'}
end
call('EXPIRE', KEYS[1], ARGV[6])
call('EXPIRE', KEYS[2], ARGV[6])
-- An engine that was started again, or has taken over from another one, may have lost its newest messages, and somebody may have
-- said others since.
local is_lost = meta[3] ~= ARGV[7]
if meta[1] ~= ARGV[1] and not is_lost then
  return {'changed'}
end
local place, seen = tonumber(meta[2]), tonumber(ARGV[2])
is_lost = is_lost or place < seen
if not is_lost and seen > 0 then
  local entry = call('XRANGE', KEYS[2], ARGV[2] .. '-0', ARGV[2] .. '-0')[1]
  if entry then
    is_lost = string.sub(entry[2][4], 1, #ARGV[3]) ~= ARGV[3]
  else
    -- It was trimmed, unless it is one of the newest.
    is_lost = place == seen
  end
end
if is_lost then
  -- The numbers were given out twice: all that nodes and clients know by this epoch is void.
  call('HSET', KEYS[1], 'e', ARGV[4], 'g', ARGV[7])
  call('PUBLISH', ARGV[5], 'e')
  return {'renewed'}
end
if place == seen then
  return {'same'}
end
return {'behind'}
