-- KEYS: the upload, the index of uploads. ARGV: upload id, new expiry or '', bytes to count for it or '', bytes that one
-- API key may store (0: any number), then field/value pairs. Changes an upload that has no job yet and returns 1; returns
-- 0 if it was ended or its record was deleted, 2 without room for the bytes.
local state = redis.call('HGET', KEYS[1], 'state')
if not state or state == 'gone' then return 0 end
-- A request that read the record earlier must not take the upload from its job.
if state == 'used' then return 1 end
if ARGV[3] ~= '' and not hold(KEYS[1], KEYS[2], tonumber(ARGV[3]), tonumber(ARGV[4])) then return 2 end
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
-- XX: an upload that was ended in the meantime does not reappear in the index.
if ARGV[2] ~= '' then redis.call('ZADD', KEYS[2], 'XX', ARGV[2], ARGV[1]) end
return 1
