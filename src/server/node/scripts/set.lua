-- Changes the rules of a room. KEYS: meta, history, presence, idle rooms. ARGV: reference, channel, limit of users, whether it is
-- kept, its other rules, messages kept, seconds a room lives without a use.
local newest = call('HGET', KEYS[1], 's')
if not newest then
  return {'none'}
end
call('HSET', KEYS[1], 'x', ARGV[3], 'k', ARGV[4], 'r', ARGV[5])
trim(KEYS[1], KEYS[2], newest - ARGV[6] + 1)
local age = age_of(ARGV[5])
if age then
  note_newest(KEYS[1], KEYS[2])
end
call('EXPIRE', KEYS[2], age or ARGV[7])
if call('HLEN', KEYS[3]) == 0 then
  idle(KEYS[1], KEYS[4], ARGV[1])
end
local revision = call('HINCRBY', KEYS[1], 'n', 1)
call('PUBLISH', ARGV[2], 's ' .. revision .. ' ' .. ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. ARGV[5])
return {'ok', revision}
