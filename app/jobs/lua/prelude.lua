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
local function write_event(kind, state, stage, progress, attempt)
  redis.call('XADD', events, 'MAXLEN', '~', 1000, '*', 'kind', kind, 'state', state,
    'stage', stage, 'progress', progress, 'attempt', attempt, 'at', stamp(now))
end
local function announce(kind)
  local shown = redis.call('HMGET', job, 'state', 'stage', 'progress', 'attempt')
  write_event(kind, shown[1] or '', shown[2] or '', shown[3] or '', shown[4] or '')
end
-- Seconds until a job that was put back after a passing fault may be taken; more than an hour dates from before Redis's
-- clock was set back.
local function pause(not_before)
  local left = (tonumber(not_before or '') or 0) - now
  return (left > 0 and left <= 3600) and left or 0
end
local function held(owner, attempt) return get('owner') == owner and get('attempt') == attempt end
-- A worker whose lease has expired lives: it was cut off from Redis, or stopped for a while. So that was no crash.
local function forgive(owner, attempt)
  if get('lost_by') ~= owner or get('lost_attempt') ~= attempt then return false end
  redis.call('HINCRBY', job, 'crashes', -1)
  redis.call('HDEL', job, 'lost_by', 'lost_attempt')
  return true
end
-- Queued jobs of one owner and priority, sorted as in the queue. Jobs without an API key have the owner '-'.
local function owners_queue(priority, key_id)
  local band = priority == 'batch' and 'batch' or 'interactive'
  return prefix .. 'queued:' .. band .. ':' .. (key_id ~= '' and key_id or '-')
end
local function leave_queue()
  redis.call('ZREM', queue, id)
  redis.call('ZREM', owners_queue(get('priority'), get('key_id')), id)
end
-- The fields of a job that waits for a worker, field and value in turn.
local function queued()
  return 'updated_at', stamp(now), 'state', 'queued', 'stage', '', 'progress', '0', 'owner', '', 'lease_until', '',
    'sent_at', stamp(now), 'sent', '1'
end
local function enqueue()
  redis.call('HSET', job, queued())
  redis.call('ZREM', leases, id)
  -- Records of earlier versions have no turn: their place is their sequence number.
  local place = get('turn') ~= '' and get('turn') or get('seq')
  redis.call('ZADD', queue, place, id)
  redis.call('ZADD', owners_queue(get('priority'), get('key_id')), place, id)
  announce('state')
end
-- Why a queued job waits: no worker can run its model (`unserved_`, see wait.lua), or a passing fault (see defer.lua).
-- The set `unserved` has the jobs of the first kind.
local function wait_no_longer()
  redis.call('ZREM', prefix .. 'unserved', id)
  redis.call('HDEL', job, 'unserved_at', 'unserved_why', 'unserved_until', 'fault_code', 'fault_why', 'fault_until')
end
local function keep(what)
  local seconds = tonumber(redis.call('HGET', prefix .. 'retention', what) or '0')
  if seconds > 0 then
    redis.call('HSET', job, what .. '_until', stamp(now + seconds))
    redis.call('ZADD', prefix .. 'kept:' .. what, stamp(now + seconds), id)
  end
end
-- Whether an API key may have this many more jobs in the queue; a limit of 0 means no limit.
local function has_room(key_id, more, limit)
  local bands = {'interactive', 'batch'}
  local function fits()
    local count = more
    for _, band in ipairs(bands) do count = count + redis.call('ZCARD', owners_queue(band, key_id)) end
    return count <= limit
  end
  if key_id == '' or limit == 0 or fits() then return true end
  -- Workers of an earlier version take jobs without removing them from their owner's queue.
  for _, band in ipairs(bands) do
    local mine = owners_queue(band, key_id)
    for _, other in ipairs(redis.call('ZRANGE', mine, 0, -1)) do
      if not redis.call('ZSCORE', queue, other) then redis.call('ZREM', mine, other) end
    end
  end
  return fits()
end
-- The turn, or nil if it lies outside its priority's range: interactive jobs lie before 10^12, batch jobs behind. Earlier
-- releases allowed tiny weights, whose large steps left that range.
local function turn_of(text, priority)
  local turn = tonumber(text or '')
  return turn and math.floor(turn / 1e12) == (priority == 'batch' and 1 or 0) and turn or nil
end
-- Fair queueing (start-time): an owner's jobs lie 1 / weight apart, and never before the turn that is served now. So
-- owners take turns, however many jobs one of them has. Returns the turn of an owner's next job, and that distance.
local function next_turn(priority, key_id, sequence)
  local turns = prefix .. 'turns'
  local weight = tonumber(redis.call('HGET', prefix .. 'key:' .. key_id, 'weight')) or 1
  local step = 1 / math.min(math.max(weight, 0.01), 100)
  local turn = turn_of(redis.call('HGET', turns, priority), priority)
  if not turn then
    turn = tonumber(sequence)
    redis.call('HSET', turns, priority, sequence)
  end
  local newest = redis.call('ZREVRANGE', owners_queue(priority, key_id), 0, 0, 'WITHSCORES')[2]
  for _, earlier in ipairs({newest or '', redis.call('HGET', turns, priority .. ' ' .. key_id) or ''}) do
    if turn_of(earlier, priority) then turn = math.max(turn, tonumber(earlier) + step) end
  end
  return turn, step
end
-- Whether an upload can become a job. It cannot if it was ended, if its job was deleted, or if its owner was erased.
local function is_complete_upload(upload)
  return redis.call('HGET', prefix .. 'upload:' .. upload, 'state') == 'complete'
end
-- An upload that has become this job.
local function use_upload()
  local upload = prefix .. 'upload:' .. id
  if redis.call('EXISTS', upload) == 1 then
    redis.call('HSET', upload, 'state', 'used')
    redis.call('EXPIRE', upload, 86400)
    redis.call('ZREM', prefix .. 'uploads', id)
    redis.call('ZREM', prefix .. 'uploads:' .. (redis.call('HGET', upload, 'key_id') or ''), id)
  end
end
-- Deletes the idempotency key of a job or batch with it, because its digest of the request reveals what was sent.
local function forget_request(record, name)
  local key = redis.call('HGET', record, 'idempotency') or ''
  if key == '' then return end
  local seen = redis.call('GET', prefix .. key)
  if seen and string.match(seen, '%S+$') == name then redis.call('DEL', prefix .. key) end
end
-- Adds an event for each registered webhook of an API key that subscribes to it. `entry` is its name in the set of due
-- events.
local function add_hook_events(owner, entry, event)
  local hooks = redis.call('HGETALL', prefix .. 'hooks:' .. owner)
  for i = 1, #hooks, 2 do
    if hooks[i + 1] == '*' or is_one_of(event, hooks[i + 1]) then
      redis.call('ZADD', prefix .. 'webhooks', stamp(now), entry .. '~' .. hooks[i])
    end
  end
end
-- Removes the due events of a deleted job or batch for the registered webhooks of an API key.
local function drop_hook_events(owner, entry)
  for _, hook in ipairs(redis.call('HKEYS', prefix .. 'hooks:' .. owner)) do
    redis.call('ZREM', prefix .. 'webhooks', entry .. '~' .. hook)
    redis.call('DEL', prefix .. 'webhook:' .. entry .. '~' .. hook)
  end
end
-- One job of a batch has ended. The last one ends the batch.
local function count_down(name)
  local batch = prefix .. 'batch:' .. name
  if redis.call('EXISTS', batch) == 0 or redis.call('HINCRBY', batch, 'open', -1) ~= 0 then return end
  redis.call('HSET', batch, 'finished_at', stamp(now))
  local seconds = math.ceil(tonumber(redis.call('HGET', prefix .. 'retention', 'records') or '0'))
  if seconds > 0 then
    redis.call('EXPIRE', batch, seconds)
    redis.call('EXPIRE', prefix .. 'batchjobs:' .. name, seconds)
  end
  if redis.call('HGET', batch, 'webhook') ~= '' then
    redis.call('ZADD', prefix .. 'webhooks', stamp(now), 'batch.' .. name)
  end
  add_hook_events(redis.call('HGET', batch, 'key_id'), 'batch.' .. name, 'batch.finished')
end
-- The counters of an API key for the present day (UTC), kept for 400 days.
local today = string.format('%.0f', math.floor(now / 86400))
local function daily(owner) return prefix .. 'daily:' .. owner .. ':' .. today end
local function count_today(owner, what)
  redis.call('HINCRBY', daily(owner), what, 1)
  -- The owners of the day, so that a list of all usage need not read every key for every day.
  redis.call('SADD', prefix .. 'used:' .. today, owner)
  for _, key in ipairs({daily(owner), prefix .. 'used:' .. today}) do redis.call('EXPIRE', key, 34560000) end
end
local function close(state, code, detail, result)
  put('state', state, 'stage', '', 'error_code', code, 'error_detail', detail, 'result_key', result,
    'finished_at', stamp(now), 'lease_until', '')
  if state == 'succeeded' then redis.call('HSET', job, 'progress', '1') end
  redis.call('ZREM', leases, id)
  leave_queue()
  wait_no_longer()
  keep('uploads')
  if result ~= '' then keep('results') end
  keep('records')
  redis.call('HINCRBY', prefix .. 'figures', 'jobs ' .. state, 1)
  count_today(get('key_id'), state)
  if get('webhook') ~= '' then redis.call('ZADD', prefix .. 'webhooks', stamp(now), id) end
  add_hook_events(get('key_id'), id, 'job.' .. state)
  announce('final')
  if get('batch') ~= '' then count_down(get('batch')) end
end
