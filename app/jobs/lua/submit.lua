-- KEYS[6] may be the place of an idempotency key. ARGV: the offset of the job's place in the order of all, digest of
-- the request, seconds to remember it, jobs that one API key may have in the queue (0: any number), 1 for the job of an
-- upload, bytes that one API key may store (0: any number), then field/value pairs.
-- Answers with the job, an older one if the request was seen; with nothing when the key belongs to another request; with
-- {'upload', 'gone'} for an upload that cannot become a job, {'key', 'full'} or {'key', 'stored'} without room.
if redis.call('EXISTS', job) == 1 then return redis.call('HGETALL', job) end
if ARGV[5] == '1' and not is_complete_upload(id) then return {'upload', 'gone'} end
local seen = KEYS[6] and redis.call('GET', KEYS[6])
if seen then
  local digest, other = string.match(seen, '^(%S+) (%S+)$')
  local found = redis.call('HGETALL', string.sub(job, 1, -#id - 1) .. other)
  if #found > 0 then return digest == ARGV[2] and found or {} end
end
local fields = {}
for i = 7, #ARGV, 2 do fields[ARGV[i]] = ARGV[i + 1] end
local key_id = fields['key_id'] or ''
if not has_queue_room(key_id, 1, tonumber(ARGV[4])) then return {'key', 'full'} end
local bytes = tonumber(fields['source_bytes']) or 0
if not fits_storage(key_id, bytes, tonumber(ARGV[6])) then return {'key', 'stored'} end
if KEYS[6] then redis.call('SET', KEYS[6], ARGV[2] .. ' ' .. id, 'EX', ARGV[3]) end
local sequence = string.format('%.0f', redis.call('INCR', prefix .. 'sequence') + tonumber(ARGV[1]))
local turn = next_turn(fields['priority'], key_id, sequence)
local span = spans_per_second(key_id) * (tonumber(fields['cost']) or 60)
redis.call('HSET', job, 'id', id, 'seq', sequence, 'turn', stamp(turn), 'span', stamp(span), 'created_at', stamp(now),
  'attempt', '0', 'crashes', '0', 'idempotency', KEYS[6] and string.sub(KEYS[6], #prefix + 1) or '', unpack(ARGV, 7))
redis.call('ZADD', jobs, stamp(now), id)
if key_id ~= '' then redis.call('ZADD', jobs .. ':' .. key_id, stamp(now), id) end
use_upload()
if bytes > 0 then hold('video', bytes) end
enqueue()
return redis.call('HGETALL', job)
