-- ARGV: owner, lease seconds, states that may be claimed.
local owner, seconds, claimable = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if get('owner') == owner then return redis.call('HGETALL', job) end
if not is_one_of(get('state'), claimable) or pause() > 0 then return {} end
redis.call('HINCRBY', job, 'attempt', 1)
redis.call('HDEL', job, 'not_before')
if get('started_at') == '' then redis.call('HSET', job, 'started_at', stamp(now)) end
put('state', 'decoding', 'stage', 'decoding', 'progress', '0', 'owner', owner, 'claimed_at', stamp(now),
  'lease_until', stamp(now + seconds))
redis.call('ZREM', queue, id)
redis.call('ZADD', leases, stamp(now + seconds), id)
announce('state')
return redis.call('HGETALL', job)
