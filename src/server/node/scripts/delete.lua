-- Deletes a message. KEYS: meta, history, deleted messages. ARGV: epoch, number, channel, messages of which it is kept that they
-- were deleted, seconds a room lives without a use.
local meta = call('HMGET', KEYS[1], 'e', 's', 'r')
if meta[1] ~= ARGV[1] then
  return {'none'}
end
if call('HEXISTS', KEYS[3], ARGV[2]) == 1 then
  return {'known'}
end
-- Histories are cut in larger steps: by the rules of the room it may be gone before.
local kept = string.match(meta[3] or '', '^%d+') or ARGV[4]
local entry = tonumber(ARGV[2]) > meta[2] - kept and call('XRANGE', KEYS[2], ARGV[2] .. '-0', ARGV[2] .. '-0')[1]
-- Where no history is kept there is a mark, and nothing behind it.
if not entry or not string.find(entry[2][4], '\n.') then
  return {'none'}
end
local age = age_of(meta[3])
if age and entry[2][2] + age * 1000 <= milliseconds() then
  return {'none'}
end
call('XDEL', KEYS[2], entry[1])
call('HINCRBY', KEYS[1], 'b', -#entry[2][4])
call('HSET', KEYS[3], ARGV[2], meta[2] .. ' ' .. entry[2][2] .. ' ' .. mark_of(entry))
for _, number in ipairs(call('HKEYS', KEYS[3])) do
  if tonumber(number) <= meta[2] - ARGV[4] then
    call('HDEL', KEYS[3], number)
  end
end
call('EXPIRE', KEYS[3], ARGV[5])
local revision = call('HINCRBY', KEYS[1], 'n', 1)
call('PUBLISH', ARGV[3], 'd ' .. ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. meta[2] .. ' ' .. revision)
return {'ok', meta[2], revision}
