-- KEYS: due, webhook, log, job, figures.
-- ARGV: due entry, round, state, attempts, seconds to the next, log entry, log entries kept, seconds that they are kept.
if redis.call('EXISTS', KEYS[4]) == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) return 0 end
redis.call('RPUSH', KEYS[3], ARGV[6])
redis.call('LTRIM', KEYS[3], -tonumber(ARGV[7]), -1)
if ARGV[8] ~= '0' then redis.call('EXPIRE', KEYS[3], ARGV[8]) end
redis.call('HINCRBY', KEYS[5], 'webhooks ' .. ARGV[3], 1)
if (redis.call('HGET', KEYS[2], 'round') or '0') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], 'state', ARGV[3], 'attempts', ARGV[4])
if ARGV[8] ~= '0' then redis.call('EXPIRE', KEYS[2], ARGV[8]) end
if ARGV[3] ~= 'pending' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[5]), ARGV[1])
end
return 1
