-- One verification in one round trip: looks the record up and spends the key's rate limits.
-- KEYS: record, fill token, one bucket a limit
-- ARGV: tag, epoch, new token, life of a token in ms, cost, `1` to spend or `0` to look only, then limit and window in ms of each limit
--
-- The caller names the entry it knows by its tag. Where that is still the entry, the limits are spent at once:
--   {1, 0 or the number of the limit that refuses, ms to wait, then remaining and ms to a full bucket of each limit}
-- `>` and a time in ms for the tag: none is known, and an entry that was read from the store before that time is as good as none.
-- `*` for the tag spends without looking. Otherwise nothing is spent and the answer is the entry's text, or where there is none of
-- this epoch {0, token}: the right to fill, shared by all who miss until someone fills or a change takes it away.
local tag = ARGV[1]
if tag ~= '*' then
  local entry = redis.call('GET', KEYS[1])
  if not entry or tag == '' or string.sub(entry, 1, #tag) ~= tag then
    if entry then
      local epoch, mac, as_of = string.match(entry, '^%d+:(%d+):([^:]+):(%d*)')
      local oldest = tonumber(string.match(tag, '^>(%d+)$') or '0')
      if epoch == ARGV[2] and mac ~= '-' and (tonumber(as_of) or 0) >= oldest then
        return entry
      end
    end
    local token = redis.call('GET', KEYS[2])
    if not token then
      -- where Redis refuses to write there is no right to fill
      local taken = redis.pcall('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
      token = taken.err and '' or ARGV[3]
    end
    return { 0, token }
  end
end

local answer = { 1, 0, 0 }
local limits = #KEYS - 2
if limits == 0 then
  return answer
end

-- GCRA: `tat` is when the bucket will be full again; a unit costs window / limit
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local cost = tonumber(ARGV[5])
local tats = {}
for i = 1, limits do
  local limit, window = tonumber(ARGV[5 + 2 * i]), tonumber(ARGV[6 + 2 * i])
  local unit = window / limit
  -- never more than a whole window behind: a limit that was shortened, or a clock set back, must not block for longer
  local old = math.min(math.max(tonumber(redis.call('GET', KEYS[2 + i]) or '0'), now), now + window)
  local tat = old + cost * unit
  local wait = tat - now - window
  if wait > 0.001 and answer[2] == 0 then
    answer[2], answer[3] = i, math.ceil(wait)
  end
  tats[i] = { old, tat, unit, window }
end
local spends = answer[2] == 0 and ARGV[6] == '1'
for i = 1, limits do
  local t = tats[i]
  local tat = spends and t[2] or t[1]
  if spends then
    redis.call('SET', KEYS[2 + i], string.format('%.6f', tat), 'PX', math.max(1, math.ceil(tat - now)))
  end
  answer[2 + 2 * i] = math.max(0, math.floor((t[4] - (tat - now)) / t[3] + 0.000001))
  answer[3 + 2 * i] = math.max(0, math.ceil(tat - now))
end
return answer
