-- Joining and leaving the queue. The queue has all waiting jobs; each API key has its own part of it besides.
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
-- Why a queued job waits: no worker can run its model (`unserved_`, see wait.lua), or a temporary fault (see defer.lua).
-- The set `unserved` has the jobs of the first kind.
local function wait_no_longer()
  redis.call('ZREM', prefix .. 'unserved', id)
  redis.call('HDEL', job, 'unserved_at', 'unserved_why', 'unserved_until', 'fault_code', 'fault_why', 'fault_until')
end
-- Whether an API key may have this many more jobs in the queue; a limit of 0 means no limit.
local function has_queue_room(key_id, more, limit)
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
