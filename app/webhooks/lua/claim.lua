-- KEYS: due. ARGV: seconds that a sender may take, prefix of all keys, seconds that an event waits whose receiver is
-- busy, number of busy receivers, these, then the busy owners. Receivers are host names, owners are API keys.
local due, prefix, wait, count = KEYS[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local hosts, owners = {}, {}
for i = 5, #ARGV do (i < 5 + count and hosts or owners)[ARGV[i]] = true end
-- The record that names the receiver: of the registered webhook, the batch or the job.
local function record_of(entry)
  local endpoint, batch = string.match(entry, '~(.+)$'), string.match(entry, '^batch%.(.+)$')
  if endpoint then return prefix .. 'hook:' .. endpoint end
  return batch and prefix .. 'batch:' .. batch or prefix .. 'job:' .. entry
end
local most, left = 500, 50
local found = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, most)
for _, id in ipairs(found) do
  local host, owner = unpack(redis.call('HMGET', record_of(id), 'webhook', 'key_id'))
  if not hosts[host] and not owners[owner] then
    redis.call('ZADD', due, now + tonumber(ARGV[1]), id)
    return id
  end
end
-- All have to wait. If there are so many, most of them move back, so that others are found behind them. The rest stays
-- due: a receiver is often busy for milliseconds only, and gets its next event at once.
if #found == most then
  for i = 1, most - left do redis.call('ZADD', due, now + wait, found[i]) end
end
return ''
