-- ARGV: part (video or result), bytes that are stored of it, 1 to state it only if that was never done.
if redis.call('EXISTS', job) == 0 or (ARGV[3] == '1' and get('held_' .. ARGV[1]) ~= '') then return 0 end
hold(ARGV[1], tonumber(ARGV[2]))
return 1
