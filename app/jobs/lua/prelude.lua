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
-- Fair queueing by cost (start-time): behind each job of an owner lies a span in proportion to the job's cost, divided by
-- the weight of the owner's key. An owner's next job lies behind that span, and never before the turn that is served now.
-- So owners get equal shares of the work, however many or long the jobs of one of them are. A span of 1 is a minute.
--
-- The hash `turns` has, for each priority P: the turn served now (P); for each owner, the end of the span of the job that
-- was served last ('P OWNER'), and what earlier spans were too short by ('owed P OWNER'); the last end of all ('top P').
local turns = prefix .. 'turns'
local function spans_per_second(key_id)
  local weight = tonumber(redis.call('HGET', prefix .. 'key:' .. key_id, 'weight') or '') or 1
  return 1 / (60 * math.min(math.max(weight, 0.01), 100))
end
-- Jobs of earlier versions have no span. Their places lie 1 apart.
local function span_of(text) return tonumber(text or '') or 1 end
-- The turn that is served now. While nothing waits and nothing runs, no owner is ahead of another one.
local function present_turn(priority, sequence)
  local seen = redis.call('HMGET', turns, priority, 'top ' .. priority)
  local turn, top = turn_of(seen[1], priority), turn_of(seen[2], priority)
  local is_idle = top and redis.call('EXISTS', queue, leases) == 0
  local present = is_idle and math.max(turn or top, top) or turn or tonumber(sequence)
  if present ~= turn then redis.call('HSET', turns, priority, stamp(present)) end
  return present
end
-- The turn of an owner's next job.
local function next_turn(priority, key_id, sequence)
  local turn = present_turn(priority, sequence)
  local newest = redis.call('ZREVRANGE', owners_queue(priority, key_id), 0, 0, 'WITHSCORES')
  if turn_of(newest[2], priority) then
    local span = span_of(redis.call('HGET', prefix .. 'job:' .. newest[1], 'span'))
    turn = math.max(turn, tonumber(newest[2]) + span)
  end
  return math.max(turn, turn_of(redis.call('HGET', turns, priority .. ' ' .. key_id), priority) or 0)
end
-- Lua passes at most a few thousand values to a call.
local function in_parts(command, key, ...)
  local values = {...}
  local before = table.remove(values)
  for first = 1, #before, 1000 do
    local part = {unpack(values)}
    for i = first, math.min(first + 999, #before) do part[#part + 1] = before[i] end
    redis.call(command, key, unpack(part))
  end
end
-- An owner's first job may not lie behind its turn: jobs before it were cancelled, or took less than was expected.
local function pull_first(priority, key_id, turn)
  local mine = owners_queue(priority, key_id)
  local first = redis.call('ZRANGE', mine, 0, 0, 'WITHSCORES')
  -- Scores near 10^12 have four decimals.
  if first[1] and tonumber(first[2]) > turn + 0.001 and turn_of(first[2], priority) then
    for _, places in ipairs({queue, mine}) do redis.call('ZADD', places, 'XX', stamp(turn), first[1]) end
  end
end
-- The job left the queue without being served, so its owner's next job does not wait for its span.
local function advance_owner()
  local priority, key_id = get('priority'), get('key_id')
  local seen = redis.call('HMGET', turns, priority, priority .. ' ' .. key_id)
  local turn = turn_of(seen[1], priority)
  if turn then pull_first(priority, key_id, math.max(turn, turn_of(seen[2], priority) or 0)) end
end
-- The owner's jobs come later: one that was served has taken more than was expected.
local function push_back(priority, key_id, by)
  local mine, places = owners_queue(priority, key_id), {}
  local found = redis.call('ZRANGE', mine, 0, -1, 'WITHSCORES')
  for i = 1, #found, 2 do
    local place = tonumber(found[i + 1])
    places[i], places[i + 1] = stamp(turn_of(found[i + 1], priority) and place + by or place), found[i]
  end
  in_parts('ZADD', queue, 'XX', places)
  in_parts('ZADD', mine, 'XX', places)
end
-- The job was claimed at this place of the queue.
local function serve(place)
  local of_job = redis.call('HMGET', job, 'priority', 'key_id', 'turn', 'span')
  local priority, key_id = of_job[1] or '', of_job[2] or ''
  if not turn_of(of_job[3], priority) then return end
  local own = priority .. ' ' .. key_id
  local seen = redis.call('HMGET', turns, priority, own, 'top ' .. priority)
  -- None of the three goes back: a job that returns to the queue keeps its earlier place.
  local turn = math.max(place, turn_of(seen[1], priority) or 0)
  local owners_turn = math.max(place + span_of(of_job[4]), turn_of(seen[2], priority) or 0)
  local top = math.max(owners_turn, turn_of(seen[3], priority) or 0)
  redis.call('HSET', job, 'turn', stamp(place))
  redis.call('HSET', turns, priority, stamp(turn), own, stamp(owners_turn), 'top ' .. priority, stamp(top))
  pull_first(priority, key_id, math.max(turn, owners_turn))
end
-- A running job turns out to have this cost. Moving all jobs of an owner takes a moment for each of them, so the owner
-- owes a little until it is worth that, the more the more jobs wait. Nothing is corrected where too many wait.
local function correct_cost(cost)
  local of_job = redis.call('HMGET', job, 'priority', 'key_id', 'span')
  local priority, key_id = of_job[1] or '', of_job[2] or ''
  local span = spans_per_second(key_id) * cost
  local own = priority .. ' ' .. key_id
  local seen = redis.call('HMGET', turns, priority, own, 'top ' .. priority, 'owed ' .. own)
  local turn, owners_turn = turn_of(seen[1], priority), turn_of(seen[2], priority)
  if not of_job[3] or not turn or not owners_turn then return end
  local owed = (tonumber(seen[4] or '') or 0) + span - span_of(of_job[3])
  redis.call('HSET', job, 'span', stamp(span))
  local count = redis.call('ZCARD', owners_queue(priority, key_id))
  if count > 5000 then return end
  if owed > 0 and owed < math.max(0.1, count / 100) then
    redis.call('HSET', turns, 'owed ' .. own, stamp(owed))
    return
  end
  if owed > 0 then push_back(priority, key_id, owed) end
  owners_turn = math.max(turn, owners_turn + owed)
  local top = math.max(owners_turn, turn_of(seen[3], priority) or 0)
  redis.call('HSET', turns, own, stamp(owners_turn), 'top ' .. priority, stamp(top))
  redis.call('HDEL', turns, 'owed ' .. own)
  if owed < 0 then pull_first(priority, key_id, owners_turn) end
end
-- The job ends without a result: its owner is charged for the part that was done, and for no less than the time that it
-- ran. A job that was claimed and came back to the queue costs nothing.
local function charge_unfinished()
  local of_job = redis.call('HMGET', job, 'state', 'attempt', 'progress', 'claimed_at', 'key_id', 'span')
  if of_job[2] == '0' or not of_job[6] then return end
  local expected, done = span_of(of_job[6]) / spans_per_second(of_job[5] or ''), 0
  if of_job[1] ~= 'queued' then
    done = math.max((tonumber(of_job[3]) or 0) * expected, now - (tonumber(of_job[4]) or now))
  end
  correct_cost(math.min(expected, done))
end
-- Whether an upload can become a job. It cannot if it was ended, if its job was deleted, or if its owner was erased.
local function is_complete_upload(upload)
  return redis.call('HGET', prefix .. 'upload:' .. upload, 'state') == 'complete'
end
-- What an API key holds: the hash `held:KEY` has the bytes of its videos, results and reels (`stored`) and those of its
-- feedback, which lies in Redis (`feedback`). Each record states its own part, so that nothing is counted twice.
local function held_total(key_id, what)
  return tonumber(redis.call('HGET', prefix .. 'held:' .. key_id, what) or '') or 0
end
local function count_held(key_id, what, change)
  local totals = prefix .. 'held:' .. key_id
  if key_id == '' or change == 0 then return end
  if redis.call('HINCRBY', totals, what, string.format('%.0f', change)) == 0 then redis.call('HDEL', totals, what) end
end
-- The job's `part` (video, result or feedback) now has this many bytes.
local function hold(part, bytes)
  local seen = redis.call('HMGET', job, 'key_id', 'held_' .. part)
  if seen[2] == string.format('%.0f', bytes) then return end
  redis.call('HSET', job, 'held_' .. part, string.format('%.0f', bytes))
  count_held(seen[1] or '', part == 'feedback' and 'feedback' or 'stored', bytes - (tonumber(seen[2] or '') or 0))
end
-- Whether a job with this video fits among what its key may store (0: any number of bytes). Its upload is counted already.
local function fits_storage(key_id, bytes, limit)
  if key_id == '' or limit == 0 then return true end
  local more = bytes - (tonumber(redis.call('HGET', prefix .. 'upload:' .. id, 'held') or '') or 0)
  return more <= 0 or held_total(key_id, 'stored') + more <= limit
end
-- An upload that has become this job.
local function use_upload()
  local upload = prefix .. 'upload:' .. id
  if redis.call('EXISTS', upload) == 1 then
    local seen = redis.call('HMGET', upload, 'key_id', 'held')
    count_held(seen[1] or '', 'stored', -(tonumber(seen[2] or '') or 0))
    redis.call('HDEL', upload, 'held')
    redis.call('HSET', upload, 'state', 'used')
    redis.call('EXPIRE', upload, 86400)
    redis.call('ZREM', prefix .. 'uploads', id)
    redis.call('ZREM', prefix .. 'uploads:' .. (seen[1] or ''), id)
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
