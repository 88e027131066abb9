-- ARGV: owner, attempt, bytes of the video.
if not held(ARGV[1], ARGV[2]) then return 0 end
put('source_bytes', ARGV[3])
return 1
