-- ARGV: owner, attempt, running states.
if get('lost_by') == ARGV[1] and get('lost_attempt') == ARGV[2] then
  -- The job was taken away because its lease expired, but the worker lives: it was cut off from Redis.
  redis.call('HINCRBY', job, 'crashes', -1)
  redis.call('HDEL', job, 'lost_by', 'lost_attempt')
  return 0
end
if not held(ARGV[1], ARGV[2]) or not is_one_of(get('state'), ARGV[3]) then return 0 end
enqueue()
return 1
