-- A sign of life of a node. KEYS: nodes, leader, figures, what the node holds, registrations. ARGV: node, milliseconds of a
-- lease, figures of the node, channel of the node, probe, the registration that the node knows of.
local now = milliseconds()
local lease = call('ZSCORE', KEYS[1], ARGV[1])
-- The answer to an earlier sign of life may have been lost: what the node knows of counts.
local is_known = lease and tonumber(lease) >= now and call('HGET', KEYS[5], ARGV[1]) == ARGV[6]
if not is_known then
  call('HSET', KEYS[5], ARGV[1], ARGV[5])
end
call('ZADD', KEYS[1], whole(now + ARGV[2]), ARGV[1])
call('HSET', KEYS[3], ARGV[1], ARGV[3])
call('EXPIRE', KEYS[4], 2592000)
call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
local leads = 0
if call('GET', KEYS[2]) == ARGV[1] then
  leads = 1
  call('PEXPIRE', KEYS[2], ARGV[2])
end
local dead = call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. whole(now), 'LIMIT', 0, 1)[1]
call('PUBLISH', ARGV[4], 'p ' .. ARGV[5])
local live = call('ZRANGEBYSCORE', KEYS[1], whole(now), '+inf')
local figures = {}
for _, node in ipairs(live) do
  figures[#figures + 1] = node
  figures[#figures + 1] = call('HGET', KEYS[3], node) or ''
end
return {is_known and 0 or 1, leads, dead or '', figures}
