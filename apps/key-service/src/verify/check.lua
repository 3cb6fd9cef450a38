-- Verifications that came at one moment, in one round trip: each looks a record up and spends the key's rate limits and quota,
-- all of them or none.
-- KEYS of each: record, fill token, one bucket a limit, then the lease of the quota where the key has one
-- ARGV: start of new tokens, life of a token in ms; then of each: number of limits, `1` where there is a lease, tag, epoch, cost,
--   `1` to spend or `0` to look only, limit and window in ms of each limit, and where there is a lease what was taken for it from
--   the store, `<units>:<rest>:<life in ms>`, or nothing; last what the link adds
-- Answers in the order of the questions; what Redis refused is told in the place of its answer.
--
-- The caller names the entry it knows by its tag. Where that is still the entry, the limits are spent at once:
--   {1, refusal, ms to wait, then remaining and ms to a full bucket of each limit, then what is left of the quota if it is known}
--   refusal: 0, or the number of the first limit that refuses (the wait is the longest of all that do), or one more for the quota, or -1 where the lease is short and the store
--   must be asked for more
-- `>` and a time in ms for the tag: none is known, and an entry that was read from the store before that time is as good as none.
-- `*` for the tag spends without looking. Otherwise nothing is spent and the answer is the entry's text, or where there is none of
-- this epoch {0, token}: the right to fill, shared by all who miss until someone fills or a change takes it away.
-- A lease is `<left> <rest>`: units that were taken from the store, and how many at most that left there.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
-- in ms: what one sum of times may be off by, and what many may add up to
local CLOCK_STEP, SLACK = 2 ^ -12, 2 ^ -6

-- units left in a lease and in the store, after what was taken from there is put in
local function lease_of(name, taken)
  local left, rest = string.match(redis.call('GET', name) or '', '^(%d+) (%d+)$')
  left, rest = tonumber(left), tonumber(rest)
  local units, stock, life = string.match(taken, '^(%d+):(%d+):(%d+)$')
  if units then
    left = (left or 0) + tonumber(units)
    rest = math.min(rest or tonumber(stock), tonumber(stock))
    redis.call('SET', name, string.format('%.0f %.0f', left, rest), 'PX', life)
  end
  return left, rest
end

-- that a bucket is full again after some time
local function keep(name, ms)
  local kept = math.max(1, math.ceil(ms))
  redis.call('SET', name, string.format('%.6f', now + ms), 'PX', kept)
end

-- nil where the entry is the one that is known, else what is to be answered
local function other_than(record, fill, tag, epoch, new_token)
  local entry = redis.call('GET', record)
  if entry and tag ~= '' and string.sub(entry, 1, #tag) == tag then
    return nil
  end
  if entry then
    local of, mac, as_of = string.match(entry, '^%d+:(%d+):([^:]+):(%d*)')
    local oldest = tonumber(string.match(tag, '^>(%d+)$') or '0')
    if of == epoch and mac ~= '-' and (tonumber(as_of) or 0) >= oldest then
      return entry
    end
  end
  local token = redis.call('GET', fill)
  if not token then
    -- where Redis refuses to write there is no right to fill
    local taken = redis.pcall('SET', fill, new_token, 'PX', ARGV[2])
    token = taken.err and '' or new_token
  end
  return { 0, token }
end

-- what one question is answered; `k` and `a` are the places before its first name and its first argument
local function check(k, a, new_token)
  local limits, has_lease, tag = tonumber(ARGV[a + 1]), ARGV[a + 2] == '1', ARGV[a + 3]
  local lease, left, rest
  if has_lease then
    lease = KEYS[k + 3 + limits]
    left, rest = lease_of(lease, ARGV[a + 7 + 2 * limits])
  end
  if tag ~= '*' then
    local other = other_than(KEYS[k + 1], KEYS[k + 2], tag, ARGV[a + 4], new_token)
    if other then
      return other
    end
  end

  -- GCRA: `tat` is when the bucket will be full again; a unit costs window / limit. Counted in units as takeUnits of key-core
  -- does, so that what a double cannot hold of a time in ms adds up to no unit.
  local answer = { 1, 0, 0 }
  local cost, spends = tonumber(ARGV[a + 5]), ARGV[a + 6] == '1'
  local buckets = {}
  for i = 1, limits do
    local limit, window = tonumber(ARGV[a + 5 + 2 * i]), tonumber(ARGV[a + 6 + 2 * i])
    local unit = window / limit
    local behind = tonumber(redis.call('GET', KEYS[k + 2 + i]) or '0') - now
    -- never more than a whole window behind: a limit that was shortened, or a clock set back, must not block for longer. It is
    -- kept so at once: were it counted down from where it was, refusals would go on until the old window is over
    if behind > window then
      keep(KEYS[k + 2 + i], window)
    end
    local taken = math.min(math.max(behind, 0), window) / unit
    local whole = math.floor(taken + 0.5)
    if math.abs(taken - whole) * unit <= CLOCK_STEP then
      taken = whole
    end
    local slack = math.min(SLACK, unit / 100)
    local over = (taken + cost - limit) * unit - slack
    if over > 0 then
      answer[2] = answer[2] == 0 and i or answer[2]
      answer[3] = math.max(answer[3], math.ceil(over))
    end
    buckets[i] = { taken, limit, unit, slack }
  end

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
    local taken, limit, unit, slack = unpack(buckets[i])
    if spends then
      -- what is given back may have flowed back meanwhile: no more is there than the limit
      taken = math.max(0, taken + cost)
      keep(KEYS[k + 2 + i], taken * unit)
    end
    answer[2 + 2 * i] = math.max(0, math.floor(limit - taken + slack / unit))
    answer[3 + 2 * i] = math.max(0, math.ceil(taken * unit - slack))
  end
  if left then
    if spends then
      left = left - cost
      redis.call('SET', lease, string.format('%.0f %.0f', left, rest), 'KEEPTTL')
    end
    answer[4 + 2 * limits] = left + rest
  end
  return answer
end

local answers = {}
local k, a = 0, 2
while k < #KEYS do
  local done, answer = pcall(check, k, a, ARGV[1] .. '.' .. #answers)
  if not done then
    answer = type(answer) == 'table' and answer or redis.error_reply(tostring(answer))
  end
  answers[#answers + 1] = answer
  local limits, leases = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  k, a = k + 2 + limits + leases, a + 6 + 2 * limits + leases
end
return answers
