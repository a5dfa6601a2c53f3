"""What redisquota does within Redis, in Lua: each script runs as a whole, so that many clients are exact.

The arithmetic is that of `windows`. A script gets the time (microseconds) or takes Redis's own, which is the
same for all replicas of istio-policy. Keys expire by themselves once they count nothing any more.
Needs Redis 5 or later, which copies a script's effects to its replicas and not the script.
"""

HEAD = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local amount, best_effort = tonumber(ARGV[2]), ARGV[3] == '1'
local limit, length = tonumber(ARGV[4]), tonumber(ARGV[5])
local bucket, dedup = tonumber(ARGV[6]), tonumber(ARGV[7])

local function whole(number) return string.format('%.0f', number) end
local function millis(micros) return whole(math.ceil(micros / 1000)) end
local function fitting(room)
  if amount <= room then return amount end
  return best_effort and math.max(0, room) or 0
end

if dedup > 0 then
  local before = redis.call('GET', KEYS[2])
  local granted, retry, till = string.match(before or '', '^(%d+) (%d+) (%d+)$')
  if till and now < tonumber(till) then return {tonumber(granted), tonumber(retry)} end
end
"""

TAIL = """
if dedup > 0 then
  local answer = whole(granted) .. ' ' .. whole(retry) .. ' ' .. whole(now + dedup)
  redis.call('SET', KEYS[2], answer, 'PX', millis(dedup))
end
return {granted, retry}
"""

FIXED = f"""{HEAD}
local found = redis.call('HMGET', KEYS[1], 'begin', 'used')
local begin, used = tonumber(found[1]), tonumber(found[2])
if not used or used == 0 or now >= begin + length then
  begin, used = now, 0
end
local granted = fitting(limit - used)
if granted > 0 then
  redis.call('HSET', KEYS[1], 'begin', whole(begin), 'used', whole(used + granted))
  if used == 0 then redis.call('PEXPIRE', KEYS[1], millis(length)) end
end
local retry = 0
if granted < amount then
  retry = begin + length - now
  if retry <= 0 then retry = length end
end
{TAIL}"""

ROLLING = f"""{HEAD}
local used, kept = 0, {{}}
local found = redis.call('HGETALL', KEYS[1])
for i = 1, #found, 2 do
  local index, count = tonumber(found[i]), tonumber(found[i + 1])
  if now >= (index + 1) * bucket + length then
    redis.call('HDEL', KEYS[1], found[i])
  else
    used = used + count
    kept[#kept + 1] = {{index, count}}
  end
end
local granted = fitting(limit - used)
if granted > 0 then
  local index = math.floor(now / bucket)
  redis.call('HINCRBY', KEYS[1], whole(index), whole(granted))
  redis.call('PEXPIRE', KEYS[1], millis(length + bucket))
  kept[#kept + 1] = {{index, granted}}
end
local retry = 0
if granted < amount then
  retry = length
  local needed = used + granted - limit + amount
  table.sort(kept, function(one, other) return one[1] < other[1] end)
  for _, each in ipairs(kept) do
    needed = needed - each[2]
    if needed <= 0 then
      retry = (each[1] + 1) * bucket + length - now
      break
    end
  end
end
{TAIL}"""
