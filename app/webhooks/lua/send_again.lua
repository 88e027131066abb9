-- KEYS: due, webhook, job. ARGV: job id.
if redis.call('EXISTS', KEYS[3]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[2], 'round', 1)
redis.call('HSET', KEYS[2], 'state', 'pending', 'attempts', '0')
redis.call('ZADD', KEYS[1], now, ARGV[1])
return 1
