-- Who is in a room. KEYS: presence. ARGV: names told.
local users = call('HLEN', KEYS[1])
if users <= tonumber(ARGV[1]) then
  return {users, call('HGETALL', KEYS[1])}
end
return {users, call('HRANDFIELD', KEYS[1], ARGV[1], 'WITHVALUES')}
