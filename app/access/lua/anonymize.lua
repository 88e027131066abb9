-- KEYS: for each day, the counters of one owner, the counters of all erased owners, and the set of the day's owners.
-- ARGV: maximum seconds to keep a counter, the owner, the id that stands for all erased owners.
-- Adds the first counters to the second, deletes the first, and returns how many were deleted. No counter is kept
-- longer.
local count = 0
for i = 1, #KEYS, 3 do
  local fields, left = redis.call('HGETALL', KEYS[i]), redis.call('TTL', KEYS[i])
  for j = 1, #fields, 2 do redis.call('HINCRBY', KEYS[i + 1], fields[j], fields[j + 1]) end
  if #fields > 0 then
    if left < 0 then left = tonumber(ARGV[1]) end
    redis.call('EXPIRE', KEYS[i + 1], math.max(left, redis.call('TTL', KEYS[i + 1])))
    redis.call('DEL', KEYS[i])
    count = count + 1
  end
  -- Added first: a set without members would lose its expiry. Days of earlier versions have no set.
  if redis.call('SISMEMBER', KEYS[i + 2], ARGV[2]) == 1 then
    redis.call('SADD', KEYS[i + 2], ARGV[3])
    redis.call('SREM', KEYS[i + 2], ARGV[2])
  end
end
return count
