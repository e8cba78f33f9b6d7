-- The last connection of somebody at a node is gone. KEYS: holders of the key of the name, names here, what the node holds. ARGV:
-- node, who, reference of the key, milliseconds for which the name is held, name.
local field = ARGV[1] .. ' ' .. ARGV[5]
if call('HGET', KEYS[1], field) ~= ARGV[2] then
  return 0
end
call('HDEL', KEYS[1], field)
drop_name(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[5], ARGV[3])
local hold, now = tonumber(ARGV[4]), milliseconds()
if hold > 0 then
  call('HSET', KEYS[1], field, 'x' .. whole(now + hold) .. ' ' .. ARGV[2])
end
end_holds(KEYS[1], now)
return 1
