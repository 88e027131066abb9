-- ARGV: owner, attempt, lease seconds, running states, wanted state, states it may follow, stage, progress.
local owner, attempt, seconds, running = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local target, allowed, stage, progress = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local state = get('state')
if not has_lease(owner, attempt) or not is_one_of(state, running) then
  forgive(owner, attempt)
  return 0
end
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
