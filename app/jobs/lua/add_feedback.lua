-- KEYS: the job's list, the index, the job. ARGV: most entries, entry, time, job id.
if redis.call('EXISTS', KEYS[3]) == 0 or redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[4])
return 1
