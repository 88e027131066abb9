"""The Lua that changes job records: each script is atomic, takes its time from Redis and may be repeated.

KEYS are always: job hash, queue (sorted by sequence), leases (sorted by expiry), the job's event stream,
all jobs (sorted by creation). A script that is sent twice because an answer was lost does the same once.
"""

from __future__ import annotations

_PRELUDE = """
local job, queue, leases, events, jobs = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id = string.match(job, '[^:]+$')
local prefix = string.sub(job, 1, -#id - 5)
local function clock()
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1000000
end
local function stamp(seconds) return string.format('%.6f', seconds) end
local now = clock()
local function get(field) return redis.call('HGET', job, field) or '' end
local function put(...) redis.call('HSET', job, 'updated_at', stamp(now), ...) end
local function is_one_of(value, list)
  return string.find(',' .. list .. ',', ',' .. value .. ',', 1, true) ~= nil
end
local function announce(kind)
  redis.call('XADD', events, 'MAXLEN', '~', 1000, '*', 'kind', kind, 'state', get('state'),
    'stage', get('stage'), 'progress', get('progress'), 'attempt', get('attempt'), 'at', stamp(now))
end
local function held(owner, attempt) return get('owner') == owner and get('attempt') == attempt end
local function enqueue()
  put('state', 'queued', 'stage', '', 'progress', '0', 'owner', '', 'lease_until', '',
    'sent_at', stamp(now), 'sent', '1')
  redis.call('ZREM', leases, id)
  redis.call('ZADD', queue, get('seq'), id)
  announce('state')
end
local function keep(what)
  local seconds = tonumber(redis.call('HGET', prefix .. 'retention', what) or '0')
  if seconds > 0 then
    redis.call('HSET', job, what .. '_until', stamp(now + seconds))
    redis.call('ZADD', prefix .. 'kept:' .. what, stamp(now + seconds), id)
  end
end
local function close(state, code, detail, result)
  put('state', state, 'stage', '', 'error_code', code, 'error_detail', detail, 'result_key', result,
    'finished_at', stamp(now), 'lease_until', '')
  if state == 'succeeded' then redis.call('HSET', job, 'progress', '1') end
  redis.call('ZREM', leases, id)
  redis.call('ZREM', queue, id)
  keep('uploads')
  if result ~= '' then keep('results') end
  keep('records')
  redis.call('HINCRBY', prefix .. 'figures', 'jobs ' .. state, 1)
  if get('webhook') ~= '' then redis.call('ZADD', prefix .. 'webhooks', stamp(now), id) end
  announce('final')
end
"""

# KEYS[6] may be the place of an idempotency key. ARGV: what is added to the job's place in the order of all,
# digest of the request, seconds to remember it, then field/value pairs. Answers with the job, an older one if
# the request was seen; with nothing when the key belongs to another request.
SUBMIT = (
    _PRELUDE
    + """
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
"""
)

# ARGV: owner, lease seconds, states that may be claimed.
CLAIM = (
    _PRELUDE
    + """
local owner, seconds, claimable = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if get('owner') == owner then return redis.call('HGETALL', job) end
if not is_one_of(get('state'), claimable) then return {} end
redis.call('HINCRBY', job, 'attempt', 1)
if get('started_at') == '' then redis.call('HSET', job, 'started_at', stamp(now)) end
put('state', 'decoding', 'stage', 'decoding', 'progress', '0', 'owner', owner, 'claimed_at', stamp(now),
  'lease_until', stamp(now + seconds))
redis.call('ZREM', queue, id)
redis.call('ZADD', leases, stamp(now + seconds), id)
announce('state')
return redis.call('HGETALL', job)
"""
)

# ARGV: owner, attempt, lease seconds, running states, wanted state, states it may follow, stage, progress.
RENEW = (
    _PRELUDE
    + """
local owner, attempt, seconds, running = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local target, allowed, stage, progress = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local state = get('state')
if not held(owner, attempt) or not is_one_of(state, running) then return 0 end
local changed = get('stage') ~= stage or get('progress') ~= progress
-- More than a whole lease is left only when the clock was set back.
local left = tonumber(get('lease_until')) - now
if changed or left < seconds * 2 / 3 or left > seconds then
  put('lease_until', stamp(now + seconds))
  redis.call('ZADD', leases, stamp(now + seconds), id)
end
if changed then
  put('stage', stage, 'progress', progress)
  local moves = target ~= state and is_one_of(state, allowed)
  if moves then put('state', target) end
  announce(moves and 'state' or 'progress')
end
return 1
"""
)

# ARGV: owner, attempt, final state, states it may follow, error code, error detail, result key, labels found,
# milliseconds of media, name of the counter that these are charged to (if a key owns the job), its seconds, thumbnails.
# Whole numbers: INCRBYFLOAT in a script corrupts the memory of Redis 6.2.
FINISH = (
    _PRELUDE
    + """
local owner, attempt, target, allowed = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not held(owner, attempt) then return 0 end
if get('state') == target and get('result_key') == ARGV[7] then return 1 end
if not is_one_of(get('state'), allowed) then return 0 end
redis.call('HSET', job, 'labels_found', ARGV[8], 'thumbnails', ARGV[12])
if target == 'succeeded' and get('key_id') ~= '' then
  local usage = prefix .. 'usage:' .. get('key_id') .. ':' .. ARGV[10]
  redis.call('INCRBY', usage, ARGV[9])
  redis.call('EXPIRE', usage, ARGV[11])
end
close(target, ARGV[5], ARGV[6], ARGV[7])
return 1
"""
)

# ARGV: owner, attempt, running states.
RELEASE = (
    _PRELUDE
    + """
if not held(ARGV[1], ARGV[2]) or not is_one_of(get('state'), ARGV[3]) then return 0 end
enqueue()
return 1
"""
)

# ARGV: states that may be cancelled.
CANCEL = (
    _PRELUDE
    + """
if not is_one_of(get('state'), ARGV[1]) then return 0 end
close('cancelled', '', '', '')
return 1
"""
)

# ARGV: running states, crashes allowed, owner that is known to be dead or '', poison code, poison detail.
EXPIRE = (
    _PRELUDE
    + """
local running, limit, dead = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if not is_one_of(get('state'), running) then
  redis.call('ZREM', leases, id)
  return ''
end
if get('owner') ~= dead and tonumber(get('lease_until')) > now then return '' end
local crashes = redis.call('HINCRBY', job, 'crashes', 1)
if crashes >= limit then
  close('failed', ARGV[4], ARGV[5], '')
  return 'failed'
end
enqueue()
return 'queued'
"""
)

# ARGV: seconds to wait, 1 when the broker's queue is known to be empty. True when a message should be sent.
ANNOUNCE = (
    _PRELUDE
    + """
if get('state') ~= 'queued' then
  redis.call('ZREM', queue, id)
  return 0
end
local wait = tonumber(ARGV[1])
if ARGV[2] ~= '1' then wait = wait * math.pow(2, math.min(tonumber(get('sent')), 6)) end
local age = now - tonumber(get('sent_at'))
if age >= 0 and age < wait then return 0 end
redis.call('HINCRBY', job, 'sent', 1)
redis.call('HSET', job, 'sent_at', stamp(now))
return 1
"""
)

# ARGV: what is kept, until when. For jobs that ended before there was retention.
KEEP = (
    _PRELUDE
    + """
if redis.call('EXISTS', job) == 0 then return 0 end
redis.call('HSET', job, ARGV[1] .. '_until', ARGV[2])
redis.call('ZADD', prefix .. 'kept:' .. ARGV[1], ARGV[2], id)
return 1
"""
)

# ARGV: lease seconds. A lease that ends later than any can was given before the clock was set back.
SHORTEN = (
    _PRELUDE
    + """
local seconds = tonumber(ARGV[1])
if (tonumber(get('lease_until')) or 0) - now <= seconds then return 0 end
redis.call('HSET', job, 'lease_until', stamp(now + seconds))
redis.call('ZADD', leases, 'XX', stamp(now + seconds), id)
return 1
"""
)

# ARGV: states in which a job may be forgotten.
DELETE = (
    _PRELUDE
    + """
local fields = redis.call('HGETALL', job)
if #fields == 0 or not is_one_of(get('state'), ARGV[1]) then return {} end
redis.call('ZREM', jobs, id)
redis.call('ZREM', jobs .. ':' .. get('key_id'), id)
for _, index in ipairs({'feedback', 'webhooks', 'kept:uploads', 'kept:results', 'kept:records'}) do
  redis.call('ZREM', prefix .. index, id)
end
redis.call('DEL', job, events, prefix .. 'feedback:' .. id, prefix .. 'webhook:' .. id, prefix .. 'webhooklog:' .. id)
return fields
"""
)

# ARGV: owner, attempt, bytes of the video.
FETCHED = (
    _PRELUDE
    + """
if not held(ARGV[1], ARGV[2]) then return 0 end
put('source_bytes', ARGV[3])
return 1
"""
)
