-- A worker can run the model of this job again.
if redis.call('HDEL', job, 'unserved_at', 'unserved_why', 'unserved_until') > 0 and get('state') == 'queued' then
  announce('state')
end
return 1
