-- KEYS: the list of a batch's jobs. ARGV: prefix of job keys. Returns state and number in turn; '' is for jobs that are gone.
local counts = {}
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local state = redis.call('HGET', ARGV[1] .. id, 'state') or ''
  counts[state] = (counts[state] or 0) + 1
end
local flat = {}
for state, count in pairs(counts) do
  flat[#flat + 1] = state
  flat[#flat + 1] = count
end
return flat
