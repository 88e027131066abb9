-- A worker can run the model of this job again. Its message is due at once: none was sent while it waited.
redis.call('ZREM', prefix .. 'unserved', id)
if redis.call('HDEL', job, 'unserved_at', 'unserved_why', 'unserved_until') > 0 and get('state') == 'queued' then
  redis.call('HSET', job, 'sent_at', '0', 'sent', '0')
  announce('state')
end
return 1
