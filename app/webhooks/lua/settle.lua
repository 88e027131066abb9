-- KEYS: due, webhook, log, job, counters; for an event of a registered webhook also the webhook's record and its log.
-- ARGV: due entry, round, state, attempts, seconds to the next, log entry, log entries kept, seconds that they are kept
-- (0: as long as the job).
if redis.call('EXISTS', KEYS[4]) == 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('DEL', KEYS[2], KEYS[3])
  return 0
end
local is_own, is_over = ARGV[8] == '0', ARGV[3] ~= 'pending'
local log = is_own and KEYS[3] or KEYS[7]
-- The log of a webhook that was deleted meanwhile stays deleted.
if log and (is_own or redis.call('EXISTS', KEYS[6]) == 1) then
  redis.call('RPUSH', log, ARGV[6])
  redis.call('LTRIM', log, -tonumber(ARGV[7]), -1)
  if not is_own then redis.call('EXPIRE', log, ARGV[8]) end
end
redis.call('HINCRBY', KEYS[5], 'webhooks ' .. ARGV[3], 1)
-- Nothing else would remove what is due to a webhook that was deleted meanwhile, not even the deletion of the job.
if KEYS[6] and redis.call('EXISTS', KEYS[6]) == 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('DEL', KEYS[2])
  return 0
end
if (redis.call('HGET', KEYS[2], 'round') or '0') ~= ARGV[2] then return 0 end
if is_over and not is_own then
  -- Nobody asks for it again, and it must not outlive the job.
  redis.call('DEL', KEYS[2])
else
  redis.call('HSET', KEYS[2], 'state', ARGV[3], 'attempts', ARGV[4], 'wait', ARGV[5])
  if not is_own then redis.call('EXPIRE', KEYS[2], ARGV[8]) end
end
if is_over then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[5]), ARGV[1])
end
return 1
