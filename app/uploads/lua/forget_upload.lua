-- KEYS: the upload, the index of uploads. ARGV: upload id, seconds to keep the record. The bytes of the upload are deleted.
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[2] .. ':' .. (redis.call('HGET', KEYS[1], 'key_id') or ''), ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
