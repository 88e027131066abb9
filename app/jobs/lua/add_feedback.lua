-- KEYS: the job's list, the index, the job. ARGV: most entries, entry, time, job id, time of the entry it replaces,
-- summary of its segments ('' if it has none).
-- Returns 0 if the list is full, 1 if stored, 2 if the latest entry is not the stated one, 3 if the job is gone.
if redis.call('EXISTS', KEYS[3]) == 0 then return 3 end
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
if ARGV[5] ~= '' then
  local latest = redis.call('ZSCORE', KEYS[2], ARGV[4])
  if math.abs(tonumber(latest or '0') - tonumber(ARGV[5])) > 0.0000005 then return 2 end
end
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[4])
if ARGV[6] ~= '' then redis.call('HSET', KEYS[3], 'corrected', ARGV[6]) end
return 1
