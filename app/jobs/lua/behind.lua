-- The members of a sorted set that come after one of them in descending order. KEYS: the set. ARGV: the member, its score,
-- how many. Answers with members and scores in turn; with nil when the member has gone, or has another score.
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '') ~= tonumber(ARGV[2]) then return false end
local first = redis.call('ZREVRANK', KEYS[1], ARGV[1]) + 1
return redis.call('ZREVRANGE', KEYS[1], first, first + tonumber(ARGV[3]) - 1, 'WITHSCORES')
