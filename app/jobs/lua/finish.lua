-- ARGV: owner, attempt, final state, states it may follow, error code, error detail, result key, labels found,
-- milliseconds of media, name of the counter that these are charged to (if a key owns the job), its seconds,
-- thumbnails, seconds of the video, the summary of each label (JSON), the job's cost ('': as expected), bytes of the
-- result and its pictures, or of the reel.
-- Whole numbers: INCRBYFLOAT in a script corrupts the memory of Redis 6.2.
local owner, attempt, target, allowed = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not has_lease(owner, attempt) then
  forgive(owner, attempt)
  return 0
end
if get('state') == target and get('result_key') == ARGV[7] then return 1 end
if not is_one_of(get('state'), allowed) then return 0 end
redis.call('HSET', job, 'labels_found', ARGV[8], 'thumbnails', ARGV[12], 'duration', ARGV[13], 'found', ARGV[14])
if target == 'succeeded' and get('key_id') ~= '' then
  local usage = prefix .. 'usage:' .. get('key_id') .. ':' .. ARGV[10]
  redis.call('INCRBY', usage, ARGV[9])
  redis.call('EXPIRE', usage, ARGV[11])
end
if target == 'succeeded' then redis.call('HINCRBY', daily(get('key_id')), 'media', ARGV[9]) end
if target ~= 'succeeded' then
  charge_unfinished()
elseif tonumber(ARGV[15] or '') then
  correct_cost(tonumber(ARGV[15]))
end
hold('result', tonumber(ARGV[16] or '') or 0)
close(target, ARGV[5], ARGV[6], ARGV[7])
return 1
