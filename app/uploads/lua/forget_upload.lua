-- KEYS: the upload, the index of uploads. ARGV: upload id, seconds to keep the record. Call it after the bytes were deleted.
hold(KEYS[1], KEYS[2], 0, 0)
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[2] .. ':' .. (redis.call('HGET', KEYS[1], 'key_id') or ''), ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
-- What is left says only that the upload has ended; its owner's data may be erased meanwhile.
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'name', '', 'metadata', '')
  redis.call('HDEL', KEYS[1], 'options', 'held')
end
