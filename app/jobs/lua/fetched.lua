-- ARGV: owner, attempt, bytes of the video, the cost that is now expected in seconds, bytes that one API key may store
-- (0: any number). Answers 2 if the video exceeds them.
if not has_lease(ARGV[1], ARGV[2]) then return 0 end
local bytes = tonumber(ARGV[3])
if not fits_storage(get('key_id'), bytes - (tonumber(get('held_video')) or 0), tonumber(ARGV[5] or '0')) then return 2 end
hold('video', bytes)
put('source_bytes', ARGV[3])
if tonumber(ARGV[4] or '') then correct_cost(tonumber(ARGV[4])) end
return 1
