-- KEYS[6] may be the place of an idempotency key. ARGV: what is added to the job's place in the order of all,
-- digest of the request, seconds to remember it, then field/value pairs. Answers with the job, an older one if
-- the request was seen; with nothing when the key belongs to another request.
local upload = prefix .. 'upload:' .. id
local function use_upload()
  if redis.call('EXISTS', upload) == 1 then
    redis.call('HSET', upload, 'state', 'used')
    redis.call('EXPIRE', upload, 86400)
    redis.call('ZREM', prefix .. 'uploads', id)
  end
end
if redis.call('EXISTS', job) == 1 then
  use_upload()
  return redis.call('HGETALL', job)
end
if redis.call('HGET', upload, 'state') == 'gone' then return {'upload', 'gone'} end
local seen = KEYS[6] and redis.call('GET', KEYS[6])
if seen then
  local digest, other = string.match(seen, '^(%S+) (%S+)$')
  local found = redis.call('HGETALL', string.sub(job, 1, -#id - 1) .. other)
  if #found > 0 then return digest == ARGV[2] and found or {} end
end
if KEYS[6] then redis.call('SET', KEYS[6], ARGV[2] .. ' ' .. id, 'EX', ARGV[3]) end
local sequence = string.format('%.0f', redis.call('INCR', prefix .. 'sequence') + tonumber(ARGV[1]))
redis.call('HSET', job, 'id', id, 'seq', sequence, 'created_at', stamp(now), 'attempt', '0', 'crashes', '0')
for i = 4, #ARGV, 2 do redis.call('HSET', job, ARGV[i], ARGV[i + 1]) end
redis.call('ZADD', jobs, stamp(now), id)
if get('key_id') ~= '' then redis.call('ZADD', jobs .. ':' .. get('key_id'), stamp(now), id) end
use_upload()
enqueue()
return redis.call('HGETALL', job)
