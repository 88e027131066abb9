-- ARGV: states in which a job may be forgotten.
local fields = redis.call('HGETALL', job)
if #fields == 0 or not is_one_of(get('state'), ARGV[1]) then return {} end
forget_request(job, id)
redis.call('ZREM', jobs, id)
redis.call('ZREM', jobs .. ':' .. get('key_id'), id)
for _, index in ipairs({'feedback', 'webhooks', 'kept:uploads', 'kept:results', 'kept:records'}) do
  redis.call('ZREM', prefix .. index, id)
end
redis.call('DEL', job, events, prefix .. 'feedback:' .. id, prefix .. 'webhook:' .. id, prefix .. 'webhooklog:' .. id)
return fields
