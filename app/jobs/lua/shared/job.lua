-- The job of a script: its fields, its events and its lease. Each script is atomic, takes its time from Redis and may be
-- repeated.
-- KEYS: job hash, queue (sorted by sequence), leases (sorted by expiry), the job's event stream,
-- all jobs (sorted by creation).
local job, queue, leases, events, jobs = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id = string.match(job, '[^:]+$')
local prefix = string.sub(job, 1, -#id - 5)
-- The rest of the script is about another job.
local function turn_to(other)
  id = other
  job, events = prefix .. 'job:' .. id, prefix .. 'events:' .. id
end
local function stamp(seconds) return string.format('%.6f', seconds) end
local function get(field) return redis.call('HGET', job, field) or '' end
local function put(...) redis.call('HSET', job, 'updated_at', stamp(now), ...) end
local function is_one_of(value, list)
  return string.find(',' .. list .. ',', ',' .. value .. ',', 1, true) ~= nil
end
local function write_event(kind, state, stage, progress, attempt)
  redis.call('XADD', events, 'MAXLEN', '~', 1000, '*', 'kind', kind, 'state', state,
    'stage', stage, 'progress', progress, 'attempt', attempt, 'at', stamp(now))
end
local function announce(kind)
  local shown = redis.call('HMGET', job, 'state', 'stage', 'progress', 'attempt')
  write_event(kind, shown[1] or '', shown[2] or '', shown[3] or '', shown[4] or '')
end
-- Seconds until a job that was put back after a temporary fault may be taken. More than an hour is left from before
-- Redis's clock was set back, and counts as no pause.
local function pause(not_before)
  local left = (tonumber(not_before or '') or 0) - now
  return (left > 0 and left <= 3600) and left or 0
end
local function has_lease(owner, attempt) return get('owner') == owner and get('attempt') == attempt end
-- The worker whose lease expired is alive: it was cut off from Redis, or stopped for a while. So its lost lease was no
-- crash, and is no longer counted as one.
local function forgive(owner, attempt)
  if get('lost_by') ~= owner or get('lost_attempt') ~= attempt then return false end
  redis.call('HINCRBY', job, 'crashes', -1)
  redis.call('HDEL', job, 'lost_by', 'lost_attempt')
  return true
end
