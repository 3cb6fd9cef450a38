-- Puts a marker over a cache entry and ends every fill under way.
-- KEYS: record, fill token   ARGV: version, epoch, life in ms
-- An entry reads `<version>:<epoch>:<mac>:<record>`; a marker has `-` for the MAC and no record.
-- What is of an earlier epoch is written over whatever its version: nobody believes it any more, and after a failover that lost
-- changes its version may be one that is given again, which would keep the fills of this history out for as long as it stands.
-- What is of an earlier version is written over whatever its epoch, with the marker's own: others may have raised it since this
-- change was committed, and filled the state from before it. That no older state comes back is not up to either number then,
-- but to the fill token.
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
