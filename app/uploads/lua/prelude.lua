-- Counts the bytes of an upload among those that its API key stores (`held:KEY`, as in jobs/lua/prelude.lua): the stated
-- length from the start on, else what has arrived. False if more would exceed the limit (0: none).
local function hold(upload, index, bytes, limit)
  local owner = redis.call('HGET', upload, 'key_id') or ''
  local totals = string.sub(index, 1, -#'uploads' - 1) .. 'held:' .. owner
  local change = bytes - (tonumber(redis.call('HGET', upload, 'held') or '') or 0)
  if owner == '' or change == 0 then return true end
  local stored = tonumber(redis.call('HGET', totals, 'stored') or '') or 0
  if change > 0 and limit > 0 and stored + change > limit then return false end
  redis.call('HSET', upload, 'held', string.format('%.0f', bytes))
  if redis.call('HINCRBY', totals, 'stored', string.format('%.0f', change)) == 0 then
    redis.call('HDEL', totals, 'stored')
  end
  return true
end
