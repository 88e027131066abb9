-- States the bytes of the job's feedback if its record does not, as in earlier versions. It is read here, because it may
-- be withdrawn at any time.
if redis.call('EXISTS', job) == 0 or get('held_feedback') ~= '' then return 0 end
local bytes = 0
for _, entry in ipairs(redis.call('LRANGE', prefix .. 'feedback:' .. id, 0, -1)) do bytes = bytes + #entry end
if bytes > 0 then hold('feedback', bytes) end
return bytes
