-- Changes fields of a job unless another client has changed them meanwhile.
-- ARGV: number of fields, then each field and the value that the client has seen ('' for none), then field and new value.
-- Returns 0 when the job is gone, 1 when it is changed, 2 when a field is not as it was seen.
if redis.call('EXISTS', job) == 0 then return 0 end
local count = tonumber(ARGV[1])
for i = 2, 2 * count, 2 do
  if get(ARGV[i]) ~= ARGV[i + 1] then return 2 end
end
put(unpack(ARGV, 2 * count + 2))
return 1
