-- No worker can run the model of this queued job. ARGV: error code, why, seconds that it may wait.
-- Answers with the state that follows; with '' if the job is not queued.
if get('state') ~= 'queued' then return '' end
local since = tonumber(get('unserved_at')) or now
-- A later time than now is left from before Redis's clock was set back.
if since > now then since = now end
local till = since + tonumber(ARGV[3])
redis.call('ZADD', prefix .. 'unserved', stamp(since), id)
if now >= till then
  charge_unfinished()
  close('failed', ARGV[1], ARGV[2], '')
  advance_owner()
  return 'failed'
end
if get('unserved_why') ~= ARGV[2] or get('unserved_until') ~= stamp(till) then
  redis.call('HSET', job, 'unserved_at', stamp(since), 'unserved_why', ARGV[2], 'unserved_until', stamp(till))
  announce('state')
end
return 'queued'
