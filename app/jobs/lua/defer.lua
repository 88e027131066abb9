-- Puts a job back that failed for a temporary fault of this installation, not of its video.
-- ARGV: owner, attempt, running states, first delay, longest delay, seconds of patience, error code, error detail, how
-- often such a fault may happen (0: any number).
if not has_lease(ARGV[1], ARGV[2]) or not is_one_of(get('state'), ARGV[3]) then
  forgive(ARGV[1], ARGV[2])
  return ''
end
local since = tonumber(get('fault_at')) or now
-- A later time than now is left from before Redis's clock was set back.
if since > now then since = now end
local most = tonumber(ARGV[9] or '0')
local is_last = most > 0 and redis.call('HINCRBY', job, 'bounded_faults', 1) >= most
if is_last or now - since > tonumber(ARGV[6]) then
  charge_unfinished()
  close('failed', ARGV[7], ARGV[8], '')
  return 'failed'
end
local faults = redis.call('HINCRBY', job, 'faults', 1)
local delay = math.min(tonumber(ARGV[5]), tonumber(ARGV[4]) * math.pow(2, math.min(faults - 1, 30)))
enqueue()
redis.call('HSET', job, 'fault_at', stamp(since), 'not_before', stamp(now + delay), 'fault_code', ARGV[7],
  'fault_why', ARGV[8], 'fault_until', stamp(since + tonumber(ARGV[6])))
return 'queued'
