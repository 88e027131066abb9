-- ARGV: owner, attempt, bytes of the video, the cost that is now expected.
if not held(ARGV[1], ARGV[2]) then return 0 end
put('source_bytes', ARGV[3])
if tonumber(ARGV[4] or '') then correct_cost(tonumber(ARGV[4])) end
return 1
