-- Compares a room with what a node has of it. KEYS: meta, history, deleted messages, that it was removed. ARGV: epoch, number and
-- mark of the newest message that the node has, another epoch, channel, seconds a room lives without a use, run of the engine,
-- number of the last change of the room that the node knows.
local meta = call('HMGET', KEYS[1], 'e', 's', 'g', 'n', 'l', 'r')
if meta[1] ~= ARGV[1] and was_removed(KEYS[4], ARGV[1]) then
  return {'removed'}
end
if not meta[1] then
  return {'gone'}
end
for key = 1, 3 do
  if key ~= 2 or not age_of(meta[6]) then
    call('EXPIRE', KEYS[key], ARGV[6])
  end
end
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
  local mark
  if entry then
    mark = mark_of(entry)
  else
    mark = string.match(call('HGET', KEYS[3], ARGV[2]) or '', '%S+$') or string.match(meta[5] or '', '^' .. ARGV[2] .. ' (.*)$')
  end
  if mark then
    is_lost = ARGV[3] ~= '' and mark ~= ARGV[3]
  else
    -- It was trimmed, unless it is one of the newest.
    is_lost = place == seen
  end
end
if is_lost then
  -- The numbers were given out twice: all that nodes and clients know by this epoch is void.
  call('HSET', KEYS[1], 'e', ARGV[4], 'g', ARGV[7], 'o', meta[1])
  call('PUBLISH', ARGV[5], 'e')
  return {'renewed'}
end
if (meta[4] or '0') ~= ARGV[8] then
  return {'revised'}
end
if place == seen then
  return {'same'}
end
return {'behind'}
