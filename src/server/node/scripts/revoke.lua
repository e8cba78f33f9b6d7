-- Keeps changes of the revoked tokens, and tells them to all nodes. KEYS: revocations. ARGV: channel, message, then key and value
-- of each, an empty value for one that is removed.
for i = 3, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    call('HDEL', KEYS[1], ARGV[i])
  else
    call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
call('PUBLISH', ARGV[1], ARGV[2])
return 1
