-- KEYS: counters of one owner and of nobody in particular, in turn. ARGV: seconds to keep a counter at most.
-- Adds the first to the second, deletes it, and returns how many there were. An erasure makes no counter live longer.
local count = 0
for i = 1, #KEYS, 2 do
  local fields, left = redis.call('HGETALL', KEYS[i]), redis.call('TTL', KEYS[i])
  for j = 1, #fields, 2 do redis.call('HINCRBY', KEYS[i + 1], fields[j], fields[j + 1]) end
  if #fields > 0 then
    if left < 0 then left = tonumber(ARGV[1]) end
    redis.call('EXPIRE', KEYS[i + 1], math.max(left, redis.call('TTL', KEYS[i + 1])))
    redis.call('DEL', KEYS[i])
    count = count + 1
  end
end
return count
