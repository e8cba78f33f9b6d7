-- Removes a room. KEYS: meta, history, presence, deleted messages, that it was removed, rooms, idle rooms, nodes. ARGV: room,
-- reference, channel, what the keys of seats in rooms with its tag begin with, seconds it is known that it was removed.
local epochs = call('HMGET', KEYS[1], 'e', 'o')
if not epochs[1] then
  return {'none'}
end
call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
-- A node that hears of it late gives up no seat in a room that was made in its place.
for _, node in ipairs(call('ZRANGE', KEYS[8], 0, -1)) do
  call('DEL', ARGV[4] .. node .. ':' .. ARGV[1])
end
call('ZREM', KEYS[6], ARGV[1])
call('ZREM', KEYS[7], ARGV[2])
call('SET', KEYS[5], epochs[1] .. ' ' .. (epochs[2] or ''), 'EX', ARGV[5])
call('PUBLISH', ARGV[3], 'z')
return {'ok'}
