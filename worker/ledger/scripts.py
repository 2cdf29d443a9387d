"""The ledger's writes, and the read of a log: each one act inside Redis, all of it or nothing."""

# KEYS: deployment, index, queued, apps with work, delivery
# ARGV: id, app, time, order, view, seconds to remember the delivery (0: it has none)
ACCEPT = """
if ARGV[6] ~= '0' then
  local seen = redis.call('GET', KEYS[5])
  if seen then return {seen, 0} end
  redis.call('SET', KEYS[5], ARGV[1], 'EX', ARGV[6])
end
redis.call('HSET', KEYS[1], 'order', ARGV[4], 'view', ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
redis.call('SADD', KEYS[4], ARGV[2])
return {ARGV[1], 1}
"""

# KEYS: deployment, index, queued, apps with work, counts
# ARGV: id, app, time, order or '', view, 1 while it waits, how many to keep, prefix,
#       the sum that its end adds one to or '', JSON of what its seconds add to which sums
PUBLISH = """
redis.call('HSET', KEYS[1], 'view', ARGV[5])
local counted = redis.call('HGET', KEYS[1], 'counted')
if ARGV[9] ~= '' and counted ~= ARGV[9] then
  redis.call('HSET', KEYS[1], 'counted', ARGV[9])
  redis.call('HINCRBYFLOAT', KEYS[5], ARGV[9], 1)
  for sum, much in pairs(counted and {} or cjson.decode(ARGV[10])) do
    redis.call('HINCRBYFLOAT', KEYS[5], sum, much)
  end
end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'order', ARGV[4]) end
redis.call('ZADD', KEYS[2], 'NX', ARGV[3], ARGV[1])
if ARGV[6] == '1' then return end
redis.call('ZREM', KEYS[3], ARGV[1])
if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('SREM', KEYS[4], ARGV[2]) end
for _, old in ipairs(redis.call('ZRANGE', KEYS[2], 0, -ARGV[7] - 1)) do
  if not redis.call('ZSCORE', KEYS[3], old) then
    redis.call('ZREM', KEYS[2], old)
    redis.call('DEL', ARGV[8] .. 'deployment:' .. old, ARGV[8] .. 'log:' .. old)
  end
end
"""

# KEYS: log, deployment
# ARGV: lines to pass over, how many to return at most
LOG = """
local have = redis.call('LLEN', KEYS[1])
local written = math.max(have, tonumber(redis.call('HGET', KEYS[2], 'lines') or 0))
local gone = written - have
local from = math.min(math.max(tonumber(ARGV[1]), gone), written)
local found = redis.call('LRANGE', KEYS[1], from - gone, from - gone + ARGV[2] - 1)
return {from, written, found, redis.call('HGET', KEYS[2], 'view') or ''}
"""
