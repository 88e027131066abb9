-- ARGV: seconds to wait, 1 when the broker's queue is known to be empty. True when a message should be sent.
if get('state') ~= 'queued' then
  redis.call('ZREM', queue, id)
  return 0
end
local wait = tonumber(ARGV[1])
if ARGV[2] ~= '1' then wait = wait * math.pow(2, math.min(tonumber(get('sent')), 6)) end
local age = now - tonumber(get('sent_at'))
if age >= 0 and age < wait then return 0 end
redis.call('HINCRBY', job, 'sent', 1)
redis.call('HSET', job, 'sent_at', stamp(now))
return 1
