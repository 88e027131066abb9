-- ARGV: a new key for links. Returns the key of the job's links: the one that it has, else the new one; '' if it is gone.
if redis.call('EXISTS', job) == 0 then return '' end
redis.call('HSETNX', job, 'share_key', ARGV[1])
return get('share_key')
