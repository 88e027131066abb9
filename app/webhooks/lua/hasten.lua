-- Makes events due now that would wait longer than any waits: they were put off before Redis's clock was set back.
-- KEYS: due. ARGV: seconds that a sender may take, prefix of all keys, number of events to look at.
-- Returns the number of such events.
local due, hold, count = KEYS[1], tonumber(ARGV[1]), 0
local found = redis.call('ZREVRANGEBYSCORE', due, '+inf', now + hold + 1, 'WITHSCORES', 'LIMIT', 0, ARGV[3])
for i = 1, #found, 2 do
  local wait, attempts = unpack(redis.call('HMGET', ARGV[2] .. 'webhook:' .. found[i], 'wait', 'attempts'))
  -- Earlier versions do not state how long an event waits that was tried.
  local longest = wait and tonumber(wait) or attempts and math.huge or 0
  if tonumber(found[i + 1]) - now > longest + 1 then
    redis.call('ZADD', due, now, found[i])
    count = count + 1
  end
end
return count
