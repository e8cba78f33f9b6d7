-- How many people are here. KEYS: the names of each tag.
local count = 0
for i = 1, #KEYS do
  count = count + call('SCARD', KEYS[i])
end
return count
