-- Takes the job whose turn it is. ARGV: owner, lease seconds, states that may be claimed, the models that the worker can
-- run ('*': any), jobs that it leaves to other workers, the position in the queue to begin at, and the number of
-- positions to read, because the script blocks Redis.
-- Answers with the job; or with 'passed over', the position of the rest of the queue ('' at its end), and the models of
-- the jobs that only others can run.
local owner, seconds, claimable, page = ARGV[1], tonumber(ARGV[2]), ARGV[3], 100
local models, avoided, passed, rest = ARGV[4], ARGV[5], {}, ''
-- `model` and `reel` are those of the job in hand. A reel needs no model.
local function can_run(model, reel)
  local has_model = models == '*' or reel ~= '' or is_one_of(model, models)
  if has_model and not is_one_of(id, avoided) then return true end
  passed[model] = true
  return false
end
-- Jobs that wait after a temporary fault, or for a worker that can run their model, keep their place in the queue and are
-- passed over.
local function find_next()
  local first = tonumber(ARGV[6])
  local stop = first + tonumber(ARGV[7])
  for start = first, stop - 1, page do
    local candidates = redis.call('ZRANGE', queue, start, math.min(start + page, stop) - 1)
    for _, candidate in ipairs(candidates) do
      -- One call for each: thousands may be passed over.
      local seen = redis.call('HMGET', prefix .. 'job:' .. candidate, 'state', 'not_before', 'model', 'reel')
      if is_one_of(seen[1] or '', claimable) and pause(seen[2]) == 0 then
        id = candidate
        if can_run(seen[3] or '', seen[4] or '') then
          turn_to(candidate)
          return true
        end
      end
    end
    if #candidates < math.min(page, stop - start) then return false end
  end
  rest = string.format('%.0f', stop)
  return false
end
if not find_next() then
  local answer = {'passed over', rest}
  for model in pairs(passed) do answer[#answer + 1] = model end
  return answer
end
redis.call('HINCRBY', job, 'attempt', 1)
redis.call('HDEL', job, 'not_before')
wait_no_longer()
if get('started_at') == '' then redis.call('HSET', job, 'started_at', stamp(now)) end
put('state', 'decoding', 'stage', 'decoding', 'progress', '0', 'owner', owner, 'claimed_at', stamp(now),
  'lease_until', stamp(now + seconds))
local place = tonumber(redis.call('ZSCORE', queue, id) or get('turn')) or 0
leave_queue()
redis.call('ZADD', leases, stamp(now + seconds), id)
serve(place)
announce('state')
return redis.call('HGETALL', job)
