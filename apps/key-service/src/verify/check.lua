-- One verification in one round trip: looks the record up and spends the key's rate limits and quota, all of them or none.
-- KEYS: record, fill token, one bucket a limit, then the lease of the quota where the key has one
-- ARGV: tag, epoch, new token, life of a token in ms, cost, `1` to spend or `0` to look only, then limit and window in ms of each
--   limit, then where the key has a quota what was taken for it from the store, `<units>:<rest>:<life in ms>`, or nothing; last
--   what the link adds
--
-- The caller names the entry it knows by its tag. Where that is still the entry, the limits are spent at once:
--   {1, refusal, ms to wait, then remaining and ms to a full bucket of each limit, then what is left of the quota if it is known}
--   refusal: 0, or the number of the limit that refuses, or one more for the quota, or -1 where the lease is short and the store
--   must be asked for more
-- `>` and a time in ms for the tag: none is known, and an entry that was read from the store before that time is as good as none.
-- `*` for the tag spends without looking. Otherwise nothing is spent and the answer is the entry's text, or where there is none of
-- this epoch {0, token}: the right to fill, shared by all who miss until someone fills or a change takes it away.
-- A lease is `<left> <rest>`: units that were taken from the store, and how many at most that left there.
local limits = #KEYS - 2
local lease, left, rest
if #ARGV % 2 == 0 then
  lease, limits = KEYS[#KEYS], limits - 1
  left, rest = string.match(redis.call('GET', lease) or '', '^(%d+) (%d+)$')
  left, rest = tonumber(left), tonumber(rest)
  local units, stock, life = string.match(ARGV[#ARGV - 1], '^(%d+):(%d+):(%d+)$')
  if units then
    left = (left or 0) + tonumber(units)
    rest = math.min(rest or tonumber(stock), tonumber(stock))
    redis.call('SET', lease, string.format('%.0f %.0f', left, rest), 'PX', life)
  end
end

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
if limits == 0 and not lease then
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

local spends = ARGV[6] == '1'
if lease and answer[2] == 0 then
  if not left then
    answer[2] = -1
  elseif left + rest < cost then
    answer[2] = limits + 1
  elseif spends and left < cost then
    answer[2] = -1
  end
end
spends = spends and answer[2] == 0

for i = 1, limits do
  local t = tats[i]
  local tat = spends and t[2] or t[1]
  if spends then
    redis.call('SET', KEYS[2 + i], string.format('%.6f', tat), 'PX', math.max(1, math.ceil(tat - now)))
  end
  answer[2 + 2 * i] = math.max(0, math.floor((t[4] - (tat - now)) / t[3] + 0.000001))
  answer[3 + 2 * i] = math.max(0, math.ceil(tat - now))
end
if left then
  if spends then
    left = left - cost
    redis.call('SET', lease, string.format('%.0f %.0f', left, rest), 'KEEPTTL')
  end
  answer[4 + 2 * limits] = left + rest
end
return answer
