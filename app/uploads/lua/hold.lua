-- Counts the bytes of an upload among those that its API key stores: the stated length from the start on, else what has
-- arrived. False if more would exceed the limit (0: none).
local function hold(upload, index, bytes, limit)
  local prefix = string.sub(index, 1, -#'uploads' - 1)
  local owner = redis.call('HGET', upload, 'key_id') or ''
  local change = bytes - (tonumber(redis.call('HGET', upload, 'held') or '') or 0)
  if owner == '' or change == 0 then return true end
  if not fits_held(prefix, owner, 'stored', change, limit) then return false end
  redis.call('HSET', upload, 'held', string.format('%.0f', bytes))
  count_held(prefix, owner, 'stored', change)
  return true
end
