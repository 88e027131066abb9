-- KEYS: due. ARGV: seconds that a sender may take, prefix of job records, seconds that an event waits whose receiver is
-- busy, number of busy receivers, these, then the busy owners. Receivers are host names, owners are API keys.
local due, prefix, wait, count = KEYS[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local hosts, owners = {}, {}
for i = 5, #ARGV do (i < 5 + count and hosts or owners)[ARGV[i]] = true end
-- An event that has to wait moves back, so that however many of them there are, others are found behind them.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, 500)) do
  local host, owner = unpack(redis.call('HMGET', prefix .. id, 'webhook', 'key_id'))
  if hosts[host] or owners[owner] then
    redis.call('ZADD', due, now + wait, id)
  else
    redis.call('ZADD', due, now + tonumber(ARGV[1]), id)
    return id
  end
end
return ''
