-- What several scripts share. A script is sent as this text and its own.
local call = redis.call

-- The time of the engine, in milliseconds since 1970.
local function milliseconds()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Lua writes 1e15 as "1e+15".
local function whole(number)
  return string.format('%.0f', number)
end

-- The mark of a message as a history has it.
local function mark_of(entry)
  return string.match(entry[2][4], '^[^\n]*')
end

-- The newest message of a room may go: its mark stays, by which nodes tell whether it is the one that they have.
local function note_newest(meta, history)
  local newest = call('HGET', meta, 's')
  local entry = call('XRANGE', history, newest .. '-0', newest .. '-0')[1]
  if entry then
    call('HSET', meta, 'l', newest .. ' ' .. mark_of(entry))
  end
end

-- Only messages of a room from this number on are kept.
local function trim(meta, history, first)
  if first > 1 then
    note_newest(meta, history)
    call('XTRIM', history, 'MINID', whole(first) .. '-0')
  end
end

-- For how many seconds messages are kept by the rules of a room; nothing if there is no end.
local function age_of(rules)
  local seconds = string.match(rules or '', ' (%d+) ')
  return seconds ~= '0' and seconds
end

-- Whether a room was removed while it had this epoch, or the one after it.
local function was_removed(key, epoch)
  return epoch ~= '' and string.find(call('GET', key) or '', epoch, 1, true)
end

-- Nobody is in a room any more. Rooms make way in the order of their scores: those that a join has made and in which nothing was
-- ever said before all others, one that is kept not before the time up to which it is.
local function idle(meta, idle_rooms, reference)
  local room = call('HMGET', meta, 's', 'k', 'w', 'v')
  local is_silent = room[1] == '0'
  if room[1] then
    local now = milliseconds()
    local score = is_silent and now - 1e12 or now
    if room[2] == '1' then
      score = now + (is_silent and room[4] or room[3])
    end
    call('ZADD', idle_rooms, whole(score), reference)
  end
end

-- A node gives up the seat of a user. KEYS: meta, presence, seats of the node. Returns whether the user has left the room,
-- and how many users are in it.
local function leave(meta, presence, seats, idle_rooms, reference, channel, name, is_told)
  if call('SREM', seats, name) == 0 then
    return 0, call('HLEN', presence)
  end
  local held = call('HGET', presence, name)
  if not held then
    return 0, call('HLEN', presence)
  end
  local count = tonumber(string.match(held, '^%d+')) - 1
  if count > 0 then
    call('HSET', presence, name, count .. string.sub(held, -1))
    return 0, call('HLEN', presence)
  end
  call('HDEL', presence, name)
  local users = call('HLEN', presence)
  if users == 0 then
    idle(meta, idle_rooms, reference)
  end
  if is_told then
    call('PUBLISH', channel, 'l ' .. users .. ' ' .. name)
  end
  return 1, users
end

-- Nobody is here under the names of this key any more, but they are held for those who may come back: until the last of these times.
local function end_holds(holders, now)
  local latest
  for _, who in ipairs(call('HVALS', holders)) do
    local ends = tonumber(string.match(who, '^x(%d+) '))
    if not ends then
      return
    end
    latest = math.max(latest or ends, ends)
  end
  if latest then
    call('PEXPIRE', holders, whole(math.max(latest - now, 1)))
  end
end

-- A name of a node is gone: it is not here any more unless another node has it, and the node holds nothing of its key unless it has
-- another name with this key.
local function drop_name(holders, names, holdings, node, name, reference)
  local is_here, holds = false, false
  local all = call('HGETALL', holders)
  for i = 1, #all, 2 do
    if string.sub(all[i + 1], 1, 1) ~= 'x' then
      local other, spelt = string.match(all[i], '^(%S+) (.*)$')
      is_here = is_here or spelt == name
      holds = holds or other == node
    end
  end
  if not is_here then
    call('SREM', names, name)
  end
  if not holds then
    call('SREM', holdings, 'u' .. reference)
  end
end

