-- Only messages from a number on are kept. KEYS: meta, history. ARGV: epoch, number.
if call('HGET', KEYS[1], 'e') == ARGV[1] then
  trim(KEYS[1], KEYS[2], tonumber(ARGV[2]))
end
return 1
