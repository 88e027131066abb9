-- KEYS: counters of one owner and of nobody in particular, in turn. ARGV: seconds to keep the latter.
-- Adds the first to the second, deletes it, and returns how many there were.
local count = 0
for i = 1, #KEYS, 2 do
  local fields = redis.call('HGETALL', KEYS[i])
  for j = 1, #fields, 2 do redis.call('HINCRBY', KEYS[i + 1], fields[j], fields[j + 1]) end
  if #fields > 0 then
    redis.call('EXPIRE', KEYS[i + 1], ARGV[1])
    redis.call('DEL', KEYS[i])
    count = count + 1
  end
end
return count
