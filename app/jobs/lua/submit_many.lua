-- Records a batch and all of its jobs, or nothing. KEYS[6] is the batch, KEYS[7] the list of its jobs, KEYS[8] all batches,
-- KEYS[9] may be the place of an idempotency key.
-- ARGV: digest of the request, seconds to remember it, batch id, offset in the order of all jobs,
-- fields of the batch (JSON list, field and value in turn), fields of every job (the same),
-- jobs (JSON list of [id, field, value, ...]), uploads among them (JSON list of ids), their priority,
-- jobs that one API key may have in the queue (0: any number).
-- Answers with the batch, an older one if the request was seen; with nothing when the key belongs to another request;
-- with {'used', job id} or {'gone', job id} for an upload that cannot become a job, {'key', 'full'} without room.
local batch, members, batches = KEYS[6], KEYS[7], KEYS[8]
if redis.call('EXISTS', batch) == 1 then return redis.call('HGETALL', batch) end
local seen = KEYS[9] and redis.call('GET', KEYS[9])
if seen then
  local digest, other = string.match(seen, '^(%S+) (%S+)$')
  local found = redis.call('HGETALL', prefix .. 'batch:' .. other)
  if #found > 0 then return digest == ARGV[1] and found or {} end
end
local shared, rows = cjson.decode(ARGV[6]), cjson.decode(ARGV[7])
local uploads = cjson.decode(ARGV[8])
for _, upload in ipairs(uploads) do
  if redis.call('EXISTS', prefix .. 'job:' .. upload) == 1 then return {'used', upload} end
  if not is_complete_upload(upload) then return {'gone', upload} end
end
local made = cjson.decode(ARGV[5])
local owner = ''
for i = 1, #made, 2 do if made[i] == 'key_id' then owner = made[i + 1] end end
if not has_queue_room(owner, #rows, tonumber(ARGV[10])) then return {'key', 'full'} end
if KEYS[9] then redis.call('SET', KEYS[9], ARGV[1] .. ' ' .. ARGV[3], 'EX', ARGV[2]) end
redis.call('HSET', batch, 'id', ARGV[3], 'created_at', stamp(now), 'total', #rows, 'open', #rows,
  'idempotency', KEYS[9] and string.sub(KEYS[9], #prefix + 1) or '', unpack(made))
redis.call('ZADD', batches, stamp(now), ARGV[3])
if owner ~= '' then redis.call('ZADD', batches .. ':' .. owner, stamp(now), ARGV[3]) end
-- What `create` and `enqueue` do for one job, in fewer calls, so that a thousand jobs do not block Redis for long.
local last = redis.call('INCRBY', prefix .. 'sequence', #rows) + tonumber(ARGV[4])
local at = stamp(now)
-- The fields of a job, field and value in turn. The first six are set for each job, and those behind `alike` are its row's.
local fields = {'id', '', 'seq', '', 'turn', '', 'span', '', 'created_at', at, 'attempt', '0', 'crashes', '0', queued()}
for _, part in ipairs(shared) do fields[#fields + 1] = part end
local alike = #fields
local turn, per_second = next_turn(ARGV[9], owner, string.format('%.0f', last - #rows + 1)), spans_per_second(owner)
local ids, places, times = {}, {}, {}
for number, row in ipairs(rows) do
  local id, cost = row[1], 60
  for i = 2, #row do
    fields[alike + i - 1] = row[i]
    if row[i] == 'cost' and i % 2 == 0 then cost = tonumber(row[i + 1]) end
  end
  local place, span = stamp(turn), per_second * cost
  turn = turn + span
  fields[2], fields[4], fields[6], fields[8] = id, string.format('%.0f', last - #rows + number), place, stamp(span)
  redis.call('HSET', prefix .. 'job:' .. id, unpack(fields, 1, alike + #row - 1))
  redis.call('XADD', prefix .. 'events:' .. id, '*', 'kind', 'state', 'state', 'queued', 'stage', '', 'progress', '0',
    'attempt', '0', 'at', at)
  ids[number] = id
  places[2 * number - 1], places[2 * number] = place, id
  times[2 * number - 1], times[2 * number] = at, id
end
in_parts('RPUSH', members, ids)
in_parts('ZADD', queue, places)
in_parts('ZADD', owners_queue(ARGV[9], owner), places)
in_parts('ZADD', jobs, times)
if owner ~= '' then in_parts('ZADD', jobs .. ':' .. owner, times) end
for _, upload in ipairs(uploads) do
  turn_to(upload)
  use_upload()
  hold('video', tonumber(get('source_bytes')) or 0)
end
return redis.call('HGETALL', batch)
