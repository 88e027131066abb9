-- Changes fields of a job unless another client has changed them meanwhile.
-- ARGV: number of fields, then each field and the value that the client has seen ('' for none), then field and new value.
-- Returns 0 if the job is gone, 1 if it is changed, 2 if a field no longer has the value that the client saw.
if redis.call('EXISTS', job) == 0 then return 0 end
local count = tonumber(ARGV[1])
for i = 2, 2 * count, 2 do
  if get(ARGV[i]) ~= ARGV[i + 1] then return 2 end
end
put(unpack(ARGV, 2 * count + 2))
return 1
