-- Brings a whisper to the nodes of its target and of its sender. KEYS: holders of the key of the target's name, of the sender's,
-- nodes, or also the key of its id. ARGV: node, payload, prefix of the channels of nodes, fingerprint, seconds an id is kept, name of
-- the target, name of the sender.
if KEYS[4] then
  local known = call('GET', KEYS[4])
  if known then
    return {known == ARGV[4] and 'known' or 'reused'}
  end
end
local now = milliseconds()
local nodes, is_here = {}, false
for key = 1, 2 do
  local entries = call('HGETALL', KEYS[key])
  for i = 1, #entries, 2 do
    local node, name = string.match(entries[i], '^(%S+) (.*)$')
    if name == ARGV[5 + key] and string.sub(entries[i + 1], 1, 1) ~= 'x' then
      local lease = call('ZSCORE', KEYS[3], node)
      if lease and tonumber(lease) >= now then
        nodes[node] = true
        is_here = is_here or key == 1
      end
    end
  end
  if not is_here then
    return {'none'}
  end
end
if KEYS[4] then
  call('SET', KEYS[4], ARGV[4], 'EX', ARGV[5])
end
for node in pairs(nodes) do
  if node ~= ARGV[1] then
    call('PUBLISH', ARGV[3] .. node, 'w ' .. ARGV[2])
  end
end
return {'ok'}
