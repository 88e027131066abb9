-- ARGV: seconds to wait, 1 when the broker's queue is known to be empty. True when a message should be sent.
if get('state') ~= 'queued' then
  leave_queue()
  return 0
end
-- No worker can run the job's model, so a message would be useless. served.lua makes the message due again.
if get('unserved_at') ~= '' then return 0 end
if pause(get('not_before')) > 0 then return 0 end
if get('not_before') ~= '' then
  -- The job's pause is over and no message waits for it, because its message was consumed during the pause.
  redis.call('HDEL', job, 'not_before')
  redis.call('HINCRBY', job, 'sent', 1)
  redis.call('HSET', job, 'sent_at', stamp(now))
  return 1
end
local wait = tonumber(ARGV[1])
if ARGV[2] ~= '1' then wait = wait * math.pow(2, math.min(tonumber(get('sent')), 6)) end
local age = now - tonumber(get('sent_at'))
if age >= 0 and age < wait then return 0 end
redis.call('HINCRBY', job, 'sent', 1)
redis.call('HSET', job, 'sent_at', stamp(now))
return 1
