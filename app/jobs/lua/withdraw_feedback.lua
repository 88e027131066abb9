-- KEYS: the job's list, the index, the job. ARGV: job id, time of the latest entry that the client has seen, or ''.
-- Returns 1 if nothing is left, 2 if the latest entry is not the stated one.
if ARGV[2] ~= '' then
  local latest = redis.call('ZSCORE', KEYS[2], ARGV[1])
  if math.abs(tonumber(latest or '0') - tonumber(ARGV[2])) > 0.0000005 then return 2 end
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
local owner, held = unpack(redis.call('HMGET', KEYS[3], 'key_id', 'held_feedback'))
count_held(string.sub(KEYS[3], 1, -#ARGV[1] - 5), owner or '', 'feedback', -(tonumber(held or '') or 0))
redis.call('HDEL', KEYS[3], 'corrected', 'held_feedback')
return 1
