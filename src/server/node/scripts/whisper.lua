-- Brings a whisper to the nodes of its target and of its sender. KEYS: holders of the key of the target's name, of the sender's,
-- nodes, or also the key of its id. ARGV: node, payload, prefix of the channels of nodes, fingerprint, seconds an id is kept, name of
-- the target, name of the sender, mark. The node itself brings it to its own people, once it has the answer.
if KEYS[4] then
  local known = call('GET', KEYS[4])
  if known then
    local print, mark = string.match(known, '^(%S+) (.*)$')
    if print ~= ARGV[4] then
      return {'reused'}
    end
    -- The node that has brought it may never have had the answer: then it brings it to its own people now.
    call('PUBLISH', ARGV[3] .. string.match(mark, '^[^:]*'), 'k ' .. mark .. ' ' .. ARGV[2])
    return {'known', mark}
  end
end
local now = milliseconds()
-- The nodes of the target, and those of the sender.
local nodes = {{}, {}}
for key = 1, 2 do
  local entries = call('HGETALL', KEYS[key])
  for i = 1, #entries, 2 do
    local node, name = string.match(entries[i], '^(%S+) (.*)$')
    if name == ARGV[5 + key] and string.sub(entries[i + 1], 1, 1) ~= 'x' then
      local lease = call('ZSCORE', KEYS[3], node)
      if lease and tonumber(lease) >= now then
        nodes[key][node] = true
      end
    end
  end
end
if not next(nodes[1]) then
  return {'none'}
end
if KEYS[4] then
  call('SET', KEYS[4], ARGV[4] .. ' ' .. ARGV[8], 'EX', ARGV[5])
end
local is_brought = false
for node in pairs(nodes[1]) do
  -- One that is cut off from the engine has its lease for a while, and hears nothing.
  if node == ARGV[1] or call('PUBLISH', ARGV[3] .. node, 'w ' .. ARGV[2]) > 0 then
    is_brought = true
  end
end
if not is_brought then
  if KEYS[4] then
    call('DEL', KEYS[4])
  end
  return {'away'}
end
for node in pairs(nodes[2]) do
  if node ~= ARGV[1] and not nodes[1][node] then
    call('PUBLISH', ARGV[3] .. node, 'w ' .. ARGV[2])
  end
end
return {'ok'}
