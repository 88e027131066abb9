-- Removes the record of a batch; its jobs stay. KEYS[6] is the batch, KEYS[7] the list of its jobs, KEYS[8] all batches,
-- KEYS[9] those of its API key. ARGV: the batch's id.
forget_request(KEYS[6], ARGV[1])
local entry = 'batch.' .. ARGV[1]
drop_hook_events(redis.call('HGET', KEYS[6], 'key_id') or '', entry)
redis.call('ZREM', prefix .. 'webhooks', entry)
redis.call('DEL', KEYS[6], KEYS[7], prefix .. 'webhook:' .. entry, prefix .. 'webhooklog:' .. entry)
redis.call('ZREM', KEYS[8], ARGV[1])
redis.call('ZREM', KEYS[9], ARGV[1])
return 1
