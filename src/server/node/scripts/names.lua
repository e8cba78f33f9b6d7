-- Who is here, of so many tags as are needed. KEYS: the names of each tag. ARGV: how many are asked for, whether those of the first
-- tag do not count, because some of them were told before. Returns whether there are others, and the names of each tag.
local names, count = {}, 0
for i = 1, #KEYS do
  names[i] = call('SMEMBERS', KEYS[i])
  if i > 1 or ARGV[2] == '0' then
    count = count + #names[i]
  end
  if count > tonumber(ARGV[1]) then
    return {1, names}
  end
end
return {0, names}
