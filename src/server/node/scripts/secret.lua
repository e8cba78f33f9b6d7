-- The secret that all nodes share. KEYS: secret. ARGV: that of this node, if there is none yet.
call('SET', KEYS[1], ARGV[1], 'NX')
return call('GET', KEYS[1])
