-- KEYS: the upload, the index of uploads. ARGV: upload id, expiry, uploads that may be open, of one API key, the API key
-- or '', bytes that one API key may store (0: any number), bytes to count for this upload, then field/value pairs.
-- Returns 'all' or 'key' when there are too many of all or of this key, 'stored' without room for the bytes, else ''.
local index, mine = KEYS[2], KEYS[2] .. ':' .. ARGV[5]
local function is_full() return ARGV[5] ~= '' and redis.call('ZCARD', mine) >= tonumber(ARGV[4]) end
if redis.call('ZCARD', index) >= tonumber(ARGV[3]) then return 'all' end
if is_full() then
  -- Servers of an earlier version end uploads without removing them from their owner's index.
  for _, other in ipairs(redis.call('ZRANGE', mine, 0, -1)) do
    if not redis.call('ZSCORE', index, other) then redis.call('ZREM', mine, other) end
  end
  if is_full() then return 'key' end
end
for i = 8, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if not hold(KEYS[1], index, tonumber(ARGV[7]), tonumber(ARGV[6])) then
  redis.call('DEL', KEYS[1])
  return 'stored'
end
redis.call('ZADD', index, ARGV[2], ARGV[1])
if ARGV[5] ~= '' then redis.call('ZADD', mine, ARGV[2], ARGV[1]) end
return ''
