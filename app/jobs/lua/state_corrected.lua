-- KEYS: the index of feedback, the job. ARGV: job id, time of the job's latest entry, summary of its segments.
-- Returns 1 if the record states the summary now, 0 if the job is gone, states one already or has other feedback.
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
local latest = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not latest or math.abs(tonumber(latest) - tonumber(ARGV[2])) > 0.0000005 then return 0 end
return redis.call('HSETNX', KEYS[2], 'corrected', ARGV[3])
