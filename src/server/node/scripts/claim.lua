-- A user comes to a node under a name. KEYS: holders of the key of the name (by node and name: who), names here, what the node
-- holds, nodes. ARGV: node, who (a: signed in, g: a guest, h and a hash: a guest with a key), reference of the key, key, prefix of
-- the channels of nodes, seconds it lives without a use, name.
local now = milliseconds()
local others = call('HGETALL', KEYS[1])
local evicted = {}
for i = 1, #others, 2 do
  local node, who = string.match(others[i], '^%S+'), others[i + 1]
  local ends, left = string.match(who, '^x(%d+) (.*)$')
  local lease = call('ZSCORE', KEYS[4], node)
  if ends and tonumber(ends) <= now then
    call('HDEL', KEYS[1], others[i])
  elseif ends or lease and tonumber(lease) >= now then
    who = left or who
    if who ~= ARGV[2] then
      if ARGV[2] ~= 'a' then
        return {who == 'a' and 'taken' or 'held'}
      end
      if not ends then
        evicted[node] = true
      end
    end
  end
end
for node in pairs(evicted) do
  if node ~= ARGV[1] then
    call('PUBLISH', ARGV[5] .. node, 'g ' .. ARGV[4])
  end
end
call('HSET', KEYS[1], ARGV[1] .. ' ' .. ARGV[7], ARGV[2])
call('EXPIRE', KEYS[1], ARGV[6])
call('SADD', KEYS[2], ARGV[7])
call('SADD', KEYS[3], 'u' .. ARGV[3])
return {'ok'}
