-- KEYS: the job's list, the index, the job. ARGV: most entries, entry, time, job id, time of the entry it replaces,
-- summary of its segments ('' if it has none), bytes of feedback that one API key may have (0: any number).
-- Returns 0 if the list is full, 1 if stored, 2 if the latest entry is not the stated one, 3 if the job is gone, 4 if the
-- job's API key would have too many bytes.
if redis.call('EXISTS', KEYS[3]) == 0 then return 3 end
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
if ARGV[5] ~= '' then
  local latest = redis.call('ZSCORE', KEYS[2], ARGV[4])
  if math.abs(tonumber(latest or '0') - tonumber(ARGV[5])) > 0.0000005 then return 2 end
end
local owner, held = unpack(redis.call('HMGET', KEYS[3], 'key_id', 'held_feedback'))
local added = #ARGV[2]
-- Records of earlier versions do not state the bytes of their feedback.
if not held then
  for _, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do added = added + #entry end
end
local prefix = string.sub(KEYS[3], 1, -#ARGV[4] - 5)
if not fits_held(prefix, owner or '', 'feedback', added, tonumber(ARGV[7])) then return 4 end
count_held(prefix, owner or '', 'feedback', added)
redis.call('HSET', KEYS[3], 'held_feedback', (tonumber(held or '') or 0) + added)
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[4])
if ARGV[6] ~= '' then redis.call('HSET', KEYS[3], 'corrected', ARGV[6]) end
return 1
