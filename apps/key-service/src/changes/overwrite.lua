-- Puts a marker over a cache entry and ends every fill under way.
-- KEYS: record, fill token   ARGV: version, epoch, life in ms
-- An entry reads `<version>:<epoch>:<mac>:<record>`; a marker has `-` for the MAC and no record.
local entry = redis.call('GET', KEYS[1])
local version, epoch
if entry then
  version, epoch = string.match(entry, '^(%d+):(%d+):')
end
if not version or tonumber(version) < tonumber(ARGV[1]) or tonumber(epoch) < tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2] .. ':-:', 'PX', ARGV[3])
end
redis.call('DEL', KEYS[2])
return 1
