-- The last connection of somebody at a node is gone. KEYS: holders of the key of the name, names here, what the node holds. ARGV:
-- node, who, reference of the key, milliseconds for which the name is held, name.
local field = ARGV[1] .. ' ' .. ARGV[5]
if call('HGET', KEYS[1], field) ~= ARGV[2] then
  return 0
end
call('HDEL', KEYS[1], field)
drop_name(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[5], ARGV[3])
local hold = tonumber(ARGV[4])
if hold > 0 then
  call('HSET', KEYS[1], field, 'x' .. whole(milliseconds() + hold) .. ' ' .. ARGV[2])
  local is_empty = true
  for _, who in ipairs(call('HVALS', KEYS[1])) do
    is_empty = is_empty and string.sub(who, 1, 1) == 'x'
  end
  if is_empty then
    call('PEXPIRE', KEYS[1], hold)
  end
end
return 1
