-- Sets an expiry date once: a date that a job has shown does not change.
-- ARGV: the part that is kept, its expiry date. For jobs that ended under a version without retention.
if redis.call('EXISTS', job) == 0 or get(ARGV[1] .. '_until') ~= '' then return 0 end
redis.call('HSET', job, ARGV[1] .. '_until', ARGV[2])
redis.call('ZADD', prefix .. 'kept:' .. ARGV[1], ARGV[2], id)
return 1
