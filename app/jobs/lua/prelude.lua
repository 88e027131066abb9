-- Shared by all job scripts. Each script is atomic, takes its time from Redis and may be repeated.
-- KEYS: job hash, queue (sorted by sequence), leases (sorted by expiry), the job's event stream,
-- all jobs (sorted by creation).
local job, queue, leases, events, jobs = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id = string.match(job, '[^:]+$')
local prefix = string.sub(job, 1, -#id - 5)
-- From here on the script is about another job.
local function turn_to(other)
  id = other
  job, events = prefix .. 'job:' .. id, prefix .. 'events:' .. id
end
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
-- Seconds until a job that was put back after a passing fault may be taken; more than an hour dates from before Redis's
-- clock was set back.
local function pause()
  local left = (tonumber(get('not_before')) or 0) - now
  return (left > 0 and left <= 3600) and left or 0
end
local function held(owner, attempt) return get('owner') == owner and get('attempt') == attempt end
-- Queued jobs of one owner and priority, sorted as in the queue. Jobs without an API key have the owner '-'.
local function owners_queue(priority, key_id)
  local band = priority == 'batch' and 'batch' or 'interactive'
  return prefix .. 'queued:' .. band .. ':' .. (key_id ~= '' and key_id or '-')
end
local function leave_queue()
  redis.call('ZREM', queue, id)
  redis.call('ZREM', owners_queue(get('priority'), get('key_id')), id)
end
local function enqueue()
  put('state', 'queued', 'stage', '', 'progress', '0', 'owner', '', 'lease_until', '',
    'sent_at', stamp(now), 'sent', '1')
  redis.call('ZREM', leases, id)
  -- Records of earlier versions have no turn: their place is their sequence number.
  local place = get('turn') ~= '' and get('turn') or get('seq')
  redis.call('ZADD', queue, place, id)
  redis.call('ZADD', owners_queue(get('priority'), get('key_id')), place, id)
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
  leave_queue()
  keep('uploads')
  if result ~= '' then keep('results') end
  keep('records')
  redis.call('HINCRBY', prefix .. 'figures', 'jobs ' .. state, 1)
  if get('webhook') ~= '' then redis.call('ZADD', prefix .. 'webhooks', stamp(now), id) end
  announce('final')
end
