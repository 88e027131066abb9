-- What the end of a job brings: expiry dates, webhooks, counters, the end of its batch.
local function keep(what)
  local seconds = tonumber(redis.call('HGET', prefix .. 'retention', what) or '0')
  if seconds > 0 then
    redis.call('HSET', job, what .. '_until', stamp(now + seconds))
    redis.call('ZADD', prefix .. 'kept:' .. what, stamp(now + seconds), id)
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
