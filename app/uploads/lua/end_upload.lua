-- KEYS: the upload, the index of uploads, the job with the upload's id. ARGV: upload id, the present time to end it only
-- if it has expired, else ''.
-- Returns 0 for an upload that a job owns or that has not expired. Returns 1 for any other: it is gone, and stays in the
-- index as one that has expired until its bytes are deleted (see forget_upload.lua).
if ARGV[2] ~= '' and tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or '0') > tonumber(ARGV[2]) then return 0 end
local is_owned = redis.call('EXISTS', KEYS[3]) == 1
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'state', is_owned and 'used' or 'gone')
end
if is_owned then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 0
end
redis.call('ZADD', KEYS[2], 'XX', 0, ARGV[1])
return 1
