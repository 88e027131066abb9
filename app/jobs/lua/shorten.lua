-- ARGV: lease seconds. A lease that ends later than any can was given before the clock was set back.
local seconds = tonumber(ARGV[1])
if (tonumber(get('lease_until')) or 0) - now <= seconds then return 0 end
redis.call('HSET', job, 'lease_until', stamp(now + seconds))
redis.call('ZADD', leases, 'XX', stamp(now + seconds), id)
return 1
