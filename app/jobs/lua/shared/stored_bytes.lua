-- What a job stores, and the upload that it comes from.
-- Whether an upload can become a job. It cannot if it was ended, if its job was deleted, or if its owner was erased.
local function is_complete_upload(upload)
  return redis.call('HGET', prefix .. 'upload:' .. upload, 'state') == 'complete'
end
-- The job's `part` (video, result or feedback) now has this many bytes.
local function hold(part, bytes)
  local seen = redis.call('HMGET', job, 'key_id', 'held_' .. part)
  if seen[2] == string.format('%.0f', bytes) then return end
  redis.call('HSET', job, 'held_' .. part, string.format('%.0f', bytes))
  count_held(prefix, seen[1] or '', part == 'feedback' and 'feedback' or 'stored', bytes - (tonumber(seen[2] or '') or 0))
end
-- Whether a job with this video fits among what its key may store (0: any number of bytes). Its upload is counted already.
local function fits_storage(key_id, bytes, limit)
  local counted = tonumber(redis.call('HGET', prefix .. 'upload:' .. id, 'held') or '') or 0
  return fits_held(prefix, key_id, 'stored', bytes - counted, limit)
end
-- An upload that has become this job.
local function use_upload()
  local upload = prefix .. 'upload:' .. id
  if redis.call('EXISTS', upload) == 1 then
    local seen = redis.call('HMGET', upload, 'key_id', 'held')
    count_held(prefix, seen[1] or '', 'stored', -(tonumber(seen[2] or '') or 0))
    redis.call('HDEL', upload, 'held')
    redis.call('HSET', upload, 'state', 'used')
    redis.call('EXPIRE', upload, 86400)
    redis.call('ZREM', prefix .. 'uploads', id)
    redis.call('ZREM', prefix .. 'uploads:' .. (seen[1] or ''), id)
  end
end
