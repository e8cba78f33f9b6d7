-- The messages of a room after one that a node has. KEYS: meta, history. ARGV: the number of the next one.
return {call('HGET', KEYS[1], 'e'), call('HGET', KEYS[1], 's'), call('XRANGE', KEYS[2], ARGV[1] .. '-0', '+')}
