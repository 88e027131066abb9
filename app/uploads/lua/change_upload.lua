-- KEYS: the upload, the index of uploads. ARGV: upload id, new expiry or '', then field/value pairs. Changes an upload
-- that is known and returns 1; returns 0 if its record was deleted.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
-- XX: an upload that was ended in the meantime does not reappear in the index.
if ARGV[2] ~= '' then redis.call('ZADD', KEYS[2], 'XX', ARGV[2], ARGV[1]) end
return 1
