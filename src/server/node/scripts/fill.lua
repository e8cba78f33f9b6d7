-- The messages of a room after one that a node has. KEYS: meta, history, deleted messages. ARGV: the number of the next one.
local meta = call('HMGET', KEYS[1], 'e', 's')
return {meta[1], meta[2], call('XRANGE', KEYS[2], ARGV[1] .. '-0', '+'), call('HGETALL', KEYS[3])}
