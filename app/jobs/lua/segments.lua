-- ARGV: owner, attempt, segments so far (JSON list), how many of them were sent before, seconds of video scored.
if not has_lease(ARGV[1], ARGV[2]) then return 0 end
local shown = redis.call('HMGET', job, 'state', 'stage', 'progress', 'attempt')
redis.call('XADD', events, 'MAXLEN', '~', 1000, '*', 'kind', 'segment', 'state', shown[1] or '', 'stage', shown[2] or '',
  'progress', shown[3] or '', 'attempt', shown[4] or '', 'at', stamp(now), 'keep', ARGV[4], 'until', ARGV[5],
  'segments', ARGV[3])
return 1
