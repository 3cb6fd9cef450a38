-- Puts a record that was read from the store into the cache, if the right to fill is still held and nothing newer is there.
-- KEYS: record, fill token   ARGV: token, version, epoch, entry, life in ms
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[2])
local entry = redis.call('GET', KEYS[1])
if entry then
  local version, epoch = string.match(entry, '^(%d+):(%d+):')
  version, epoch = tonumber(version), tonumber(epoch)
  if epoch and (epoch > tonumber(ARGV[3]) or (epoch == tonumber(ARGV[3]) and version > tonumber(ARGV[2]))) then
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
return 1
