-- What an API key holds: the hash `held:KEY` has the bytes of its videos, results and reels (`stored`) and those of its
-- feedback, which lies in Redis (`feedback`). Each record states its own part, so that nothing is counted twice.
-- Whether the key may hold this much more; a limit of 0 means no limit.
local function fits_held(prefix, key_id, what, more, limit)
  if key_id == '' or limit == 0 or more <= 0 then return true end
  return (tonumber(redis.call('HGET', prefix .. 'held:' .. key_id, what) or '') or 0) + more <= limit
end
local function count_held(prefix, key_id, what, change)
  local totals = prefix .. 'held:' .. key_id
  if key_id == '' or change == 0 then return end
  if redis.call('HINCRBY', totals, what, string.format('%.0f', change)) == 0 then redis.call('HDEL', totals, what) end
end
