-- What is shown of some rooms. KEYS: rooms, then meta and presence of each. ARGV: the name of each.
local shown = {}
for i = 1, #ARGV do
  local meta = call('HMGET', KEYS[2 * i], 'x', 's', 'c')
  if meta[1] then
    shown[#shown + 1] = {ARGV[i], meta[1], call('HLEN', KEYS[2 * i + 1]), meta[2], meta[3]}
  else
    call('ZREM', KEYS[1], ARGV[i])
  end
end
return shown
