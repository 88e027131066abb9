-- ARGV: states in which a job may be forgotten.
local fields = redis.call('HGETALL', job)
if #fields == 0 or not is_one_of(get('state'), ARGV[1]) then return {} end
forget_request(job, id)
for _, part in ipairs({'video', 'result', 'feedback'}) do hold(part, 0) end
redis.call('ZREM', jobs, id)
redis.call('ZREM', jobs .. ':' .. get('key_id'), id)
for _, index in ipairs({'feedback', 'webhooks', 'kept:uploads', 'kept:results', 'kept:records'}) do
  redis.call('ZREM', prefix .. index, id)
end
drop_hook_events(get('key_id'), id)
redis.call('DEL', job, events, prefix .. 'feedback:' .. id, prefix .. 'webhook:' .. id, prefix .. 'webhooklog:' .. id)
-- The record of the job's upload is kept for a day, but not what it says about the video.
local upload = prefix .. 'upload:' .. id
if redis.call('EXISTS', upload) == 1 then
  redis.call('HSET', upload, 'name', '', 'metadata', '')
  redis.call('HDEL', upload, 'options')
end
return fields
