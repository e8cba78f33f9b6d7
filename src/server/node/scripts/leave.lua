-- Gives up the seat of a user of a node. KEYS: meta, presence, seats of the node, what the node holds, idle rooms. ARGV:
-- reference, channel, name.
local is_gone, users = leave(KEYS[1], KEYS[2], KEYS[3], KEYS[5], ARGV[1], ARGV[2], ARGV[3], true)
if call('SCARD', KEYS[3]) == 0 then
  call('SREM', KEYS[4], 'r' .. ARGV[1])
end
return {is_gone, users}
