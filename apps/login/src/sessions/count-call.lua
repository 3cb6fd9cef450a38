-- Counts one call in a sliding window: what the window before still weighs, and this one.
-- KEYS[1] the counter; ARGV[1] window in ms; ARGV[2] limit
-- Answers {calls in the window, ms to wait}: 0 when the call may pass, and only then is it counted.
local window, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local index = math.floor(now / window)
local elapsed = now - index * window

local stored = redis.call('HMGET', KEYS[1], 'index', 'now', 'before')
local last = tonumber(stored[1]) or -1
local current, before = 0, 0
if last == index then
  current, before = tonumber(stored[2]), tonumber(stored[3])
elseif last == index - 1 then
  before = tonumber(stored[2])
end

local weight = before * (window - elapsed) / window
if current + weight + 1 > limit then
  local wait
  if current + 1 <= limit then
    wait = window - (limit - current - 1) * window / before - elapsed
  else
    wait = window - elapsed + window - (limit - 1) * window / current
  end
  return { math.ceil(current + weight) + 1, math.max(1, math.ceil(wait)) }
end

redis.call('HSET', KEYS[1], 'index', index, 'now', current + 1, 'before', before)
redis.call('PEXPIRE', KEYS[1], 2 * window)
return { math.ceil(current + weight) + 1, 0 }
