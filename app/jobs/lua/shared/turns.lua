-- Fair turns: when which job of the queue is served.
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
-- was served last ('P OWNER'), and the debt of earlier spans that were too short ('owed
-- P OWNER'); the last end of all ('top P').
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
-- Moves the owner's first job up to its turn, if earlier jobs were cancelled or took less than was expected.
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
-- Moves the owner's queued jobs back, because a served one took more than was expected.
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
-- A running job turns out to have this cost. Moving the owner's queued jobs takes time for each of them. So a small debt is
-- only noted (`owed`) until it exceeds a limit that grows with their number. With more than 5,000 of them, nothing moves.
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
