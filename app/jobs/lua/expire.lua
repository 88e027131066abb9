-- ARGV: running states, crashes allowed, owner that is known to be dead or '', poison code, poison detail.
local running, limit, dead = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if not is_one_of(get('state'), running) then
  redis.call('ZREM', leases, id)
  return ''
end
if get('owner') ~= dead and tonumber(get('lease_until')) > now then return '' end
redis.call('HSET', job, 'lost_by', get('owner'), 'lost_attempt', get('attempt'))
local crashes = redis.call('HINCRBY', job, 'crashes', 1)
if crashes >= limit then
  close('failed', ARGV[4], ARGV[5], '')
  return 'failed'
end
enqueue()
return 'queued'
