-- All that a node needs of the events. KEYS: events, the number of the newest, the latest of each channel, posted figures.
return {call('GET', KEYS[2]) or '', call('XRANGE', KEYS[1], '-', '+'), call('HGETALL', KEYS[3]), call('GET', KEYS[4]) or ''}
