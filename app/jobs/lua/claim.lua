-- ARGV: owner, lease seconds, states that may be claimed, 1 to take the job whose turn it is instead of the named one.
local owner, seconds, claimable, page = ARGV[1], tonumber(ARGV[2]), ARGV[3], 100
local function is_free() return is_one_of(get('state'), claimable) and pause() == 0 end
-- Jobs that wait after a passing fault keep their place in the queue and are passed over.
local function find_next()
  for start = 0, 20 * page, page do
    local candidates = redis.call('ZRANGE', queue, start, start + page - 1)
    for _, candidate in ipairs(candidates) do
      turn_to(candidate)
      if is_free() then return true end
    end
    if #candidates < page then return false end
  end
  return false
end
if ARGV[4] == '1' then
  if not find_next() then return {} end
elseif get('owner') == owner then
  return redis.call('HGETALL', job)
elseif not is_free() then
  return {}
end
redis.call('HINCRBY', job, 'attempt', 1)
redis.call('HDEL', job, 'not_before')
wait_no_longer()
if get('started_at') == '' then redis.call('HSET', job, 'started_at', stamp(now)) end
put('state', 'decoding', 'stage', 'decoding', 'progress', '0', 'owner', owner, 'claimed_at', stamp(now),
  'lease_until', stamp(now + seconds))
leave_queue()
redis.call('ZADD', leases, stamp(now + seconds), id)
-- The clock of turns never goes back: a job that returns to the queue keeps its earlier turn.
local turn = tonumber(get('turn'))
if turn then
  local priority, turns = get('priority'), prefix .. 'turns'
  if turn > (tonumber(redis.call('HGET', turns, priority)) or 0) then
    redis.call('HSET', turns, priority, get('turn'))
  end
  redis.call('HSET', turns, priority .. ' ' .. get('key_id'), get('turn'))
end
announce('state')
return redis.call('HGETALL', job)
