-- KEYS: the upload, the index of uploads, the job with the upload's id. ARGV: upload id, seconds to keep the record, the
-- present time to end it only if it has expired, else ''.
-- Returns 0 for an upload that a job owns or that has not expired. Returns 1 for any other: it is gone, and stays in the
-- index as one that has expired until its bytes are deleted (see forget_upload.lua).
if ARGV[3] ~= '' and tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or '0') > tonumber(ARGV[3]) then return 0 end
local owner = redis.call('HGET', KEYS[1], 'key_id') or ''
local is_owned = redis.call('EXISTS', KEYS[3]) == 1
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'state', is_owned and 'used' or 'gone')
end
for _, index in ipairs({KEYS[2], KEYS[2] .. ':' .. owner}) do
  if is_owned then
    redis.call('ZREM', index, ARGV[1])
  else
    redis.call('ZADD', index, 'XX', 0, ARGV[1])
  end
end
if not is_owned then return 1 end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 0
