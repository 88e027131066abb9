-- KEYS: the upload, the index of uploads, the job with the upload's id. ARGV: upload id, seconds to keep the record.
local owner = redis.call('HGET', KEYS[1], 'key_id')
if owner then redis.call('ZREM', KEYS[2] .. ':' .. owner, ARGV[1]) end
local is_owned = redis.call('EXISTS', KEYS[3]) == 1
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'state', is_owned and 'used' or 'gone')
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
return is_owned and 0 or 1
