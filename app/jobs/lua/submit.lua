-- KEYS[6] may be the place of an idempotency key. ARGV: what is added to the job's place in the order of all,
-- digest of the request, seconds to remember it, jobs that one API key may have in the queue (0: any number), then
-- field/value pairs. Answers with the job, an older one if the request was seen; with nothing when the key belongs to
-- another request.
local upload = prefix .. 'upload:' .. id
local function use_upload()
  if redis.call('EXISTS', upload) == 1 then
    redis.call('HSET', upload, 'state', 'used')
    redis.call('EXPIRE', upload, 86400)
    redis.call('ZREM', prefix .. 'uploads', id)
    redis.call('ZREM', prefix .. 'uploads:' .. (redis.call('HGET', upload, 'key_id') or ''), id)
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
local fields = {}
for i = 5, #ARGV, 2 do fields[ARGV[i]] = ARGV[i + 1] end
local key_id, priority, limit = fields['key_id'] or '', fields['priority'], tonumber(ARGV[4])
local function is_full()
  local count = 0
  for _, band in ipairs({'interactive', 'batch'}) do
    count = count + redis.call('ZCARD', owners_queue(band, key_id))
  end
  return count >= limit
end
-- Workers of an earlier version take jobs without removing them from their owner's queue.
local function clean()
  for _, band in ipairs({'interactive', 'batch'}) do
    local mine = owners_queue(band, key_id)
    for _, other in ipairs(redis.call('ZRANGE', mine, 0, -1)) do
      if not redis.call('ZSCORE', queue, other) then redis.call('ZREM', mine, other) end
    end
  end
end
if key_id ~= '' and limit > 0 and is_full() then
  clean()
  if is_full() then return {'key', 'full'} end
end
if KEYS[6] then redis.call('SET', KEYS[6], ARGV[2] .. ' ' .. id, 'EX', ARGV[3]) end
local sequence = string.format('%.0f', redis.call('INCR', prefix .. 'sequence') + tonumber(ARGV[1]))
-- Fair queueing (start-time): an owner's jobs lie 1 / weight apart, and never before the turn that is served now. So
-- owners take turns, however many jobs one of them has.
local turns = prefix .. 'turns'
local weight = tonumber(redis.call('HGET', prefix .. 'key:' .. key_id, 'weight')) or 1
redis.call('HSETNX', turns, priority, sequence)
local turn = tonumber(redis.call('HGET', turns, priority))
local newest = redis.call('ZREVRANGE', owners_queue(priority, key_id), 0, 0, 'WITHSCORES')[2]
for _, earlier in ipairs({newest or '', redis.call('HGET', turns, priority .. ' ' .. key_id) or ''}) do
  if tonumber(earlier) then turn = math.max(turn, tonumber(earlier) + 1 / weight) end
end
redis.call('HSET', job, 'turn', stamp(turn))
redis.call('HSET', job, 'id', id, 'seq', sequence, 'created_at', stamp(now), 'attempt', '0', 'crashes', '0')
for i = 5, #ARGV, 2 do redis.call('HSET', job, ARGV[i], ARGV[i + 1]) end
redis.call('ZADD', jobs, stamp(now), id)
if get('key_id') ~= '' then redis.call('ZADD', jobs .. ':' .. get('key_id'), stamp(now), id) end
use_upload()
enqueue()
return redis.call('HGETALL', job)
