-- The whole audit. KEYS: events, the number of the newest.
return {call('GET', KEYS[2]) or 0, call('XRANGE', KEYS[1], '-', '+')}
