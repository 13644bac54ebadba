"""What must happen at once in Redis, or not at all: the Lua scripts of the room. For Redis 6.2 and later.

A script is atomic for others, but an error in the middle of it does not take back what it has written (redis.io,
'Scripting with Lua'). So those that write do it in steps, each with what takes it back; see `STEPS`. The first step is
always a RENAMENX: it needs no memory, and after it a script may write although maxmemory is reached (measured with
6.2.14 and 7.0.15: OOM is only checked before the first write), so that a full Redis can be repaired too.
"""

from __future__ import annotations

from wasupervisor.keyspace.connection import Script

SWEEP = """
-- Before it stands what `sieve` makes of the rules.
-- ARGV: cursor, COUNT, beginning of our own keys, beginning of those in quarantine.
-- Gives: cursor, keys there are, matches of each rule, wrong keys, keys in quarantine, keys that could not be read,
--        and why.
local call, try, sub, find = redis.call, redis.pcall, string.sub, string.find
local ours, quarantine = ARGV[3], ARGV[4]

local function like_json(key)
  local first = string.match(call('GETRANGE', key, 0, 63), '^%s*(.)')
  local last = string.match(call('GETRANGE', key, -64, -1), '(.)%s*$')
  if not first or not last then return false end
  if first == '{' then return last == '}' end
  if first == '[' then return last == ']' end
  if first == '"' then return last == '"' end
  return find(first, '[-%dtfn]') ~= nil and find(last, '[%del]') ~= nil
end

local function fault_of(key, rule, kind)
  if not rule.right[kind] then return 'type', call('PTTL', key) end
  local left = -1
  if rule.ttl then
    left = call('PTTL', key)
    if left ~= -2 and (left == -1) == (rule.ttl == 'required') then return 'ttl', left end
  end
  if rule.json and kind == 'string' and not like_json(key) then return 'json', call('PTTL', key) end
  return nil
end

local reply = call('SCAN', ARGV[1], 'MATCH', match, 'COUNT', ARGV[2])
local names, matched, wrong, aside, unread, why = reply[2], {}, {}, {}, 0, ''
local ours_head, ours_long, aside_long = sub(ours, 1, short), #ours, #quarantine
local groups, rules
for each = 1, #names do
  local key = names[each]
  local head = sub(key, 1, short)
  local group = heads[head] or other
  if head == ours_head and sub(key, 1, ours_long) == ours then
    if sub(key, 1, aside_long) == quarantine then aside[#aside + 1] = key end
  elseif group then
    if not rules then
      groups, rules = unpack_rules()
      for at = 1, #rules do matched[at] = 0 end
    end
    group = groups[group]
    local some = group[1] > 0 and group[2][sub(key, -group[1])] or group[3]
    for at = 1, #some do
      local rule = rules[some[at]]
      if not rule.like or find(key, rule.like) then
        matched[some[at]] = matched[some[at]] + 1
        local kind = try('TYPE', key)
        if kind.err then
          unread = unread + 1
          why = kind.err
        elseif not (rule.plain and rule.right[kind.ok]) and kind.ok ~= 'none' then
          local fault, left = fault_of(key, rule, kind.ok)
          if fault and left ~= -2 then wrong[#wrong + 1] = {key, kind.ok, some[at], fault, left} end
        end
        break
      end
    end
  end
end
return {reply[1], call('DBSIZE'), matched, wrong, aside, unread, why}
"""

STEPS = """
local failed
local taken_back = {}
-- One command, and what takes it back if a later one fails. After a failure nothing more is done.
local function step(back, ...)
  if failed then return nil end
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    failed = reply
    for at = #taken_back, 1, -1 do redis.pcall(unpack(taken_back[at])) end
  elseif back then
    taken_back[#taken_back + 1] = back
  end
  return reply
end

-- Moves a key to where it is kept, with a note that tells what its name does not. It does not expire there.
local function set_aside(key, name, note, kind, told, from)
  local left = redis.call('PTTL', key)
  local moved = step({'RENAMENX', name, key}, 'RENAMENX', key, name)
  if moved == 0 then return nil end
  step({'UNLINK', note}, 'HSET', note, 'type', kind, 'ttl_ms', left, unpack(told, from))
  if left >= 0 then step({'PEXPIRE', name, math.max(left, 1)}, 'PERSIST', name) end
  return left
end
"""

SET_ASIDE = Script(
    "set aside",
    STEPS
    + """
-- KEYS: key, its name in quarantine, the note, the mark of one that was put back, the lease if there is one.
-- ARGV: the right types, the token of the lease; then the fields of the note.
if KEYS[5] and redis.call('GET', KEYS[5]) ~= ARGV[2] then return {'not_ours'} end
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return {'gone'} end
if string.find(ARGV[1], ' ' .. kind .. ' ', 1, true) then return {'whole', kind} end
local left = set_aside(KEYS[1], KEYS[2], KEYS[3], kind, ARGV, 3)
if failed then return failed end
if not left then return {'taken', kind} end
redis.pcall('UNLINK', KEYS[4])
return {'moved', kind, left}
""",
)

UNDO = Script(
    "undo",
    STEPS
    + """
-- KEYS: name in quarantine, the key that it was, the note, the mark of one that was put back, and where a key goes that
--       has taken its place, with its note.
-- ARGV: 1 to replace such a key; then the fields of its note.
local kind, other = redis.call('TYPE', KEYS[1]).ok, redis.call('TYPE', KEYS[2]).ok
if kind == 'none' then return {'gone'} end
if other ~= 'none' then
  if ARGV[1] ~= '1' then return {'occupied', other} end
  local made_room = set_aside(KEYS[2], KEYS[5], KEYS[6], other, ARGV, 2)
  if not failed and not made_room then return {'taken', other} end
end
local noted = step(nil, 'HGET', KEYS[3], 'ttl_ms')
if failed then return failed end
local left = tonumber(noted or -1) or -1
step({'RENAMENX', KEYS[2], KEYS[1]}, 'RENAMENX', KEYS[1], KEYS[2])
step({'UNLINK', KEYS[4]}, 'SET', KEYS[4], kind)
if left >= 0 then step(nil, 'PEXPIRE', KEYS[2], math.max(left, 1)) end
if failed then return failed end
redis.pcall('UNLINK', KEYS[3])
return {'put_back', other}
""",
)

READ = Script(
    "read",
    """
-- KEYS: key. ARGV: how many bytes are too much.
-- Gives: its type, the SHA1 of all of it, and what it holds; no content of other types, or of what is too large.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'string' and kind ~= 'hash' then return {kind, '', {}} end
local most, size = tonumber(ARGV[1]), nil
if kind == 'string' then size = redis.call('STRLEN', KEYS[1])
else size = redis.pcall('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 0) end
if type(size) == 'number' and size > most then return {kind, '', {}} end
local whole = redis.call('DUMP', KEYS[1])
if #whole > most then return {kind, '', {}} end
local held = kind == 'hash' and redis.call('HGETALL', KEYS[1]) or {redis.call('GET', KEYS[1])}
return {kind, redis.sha1hex(whole), held}
""",
)

CONVERT = Script(
    "convert",
    STEPS
    + """
-- KEYS: as to set aside. ARGV: the right types, the token of the lease, the SHA1 that the key must still have or
-- nothing, the type to make, how many words the note has; the note's fields; what the new key holds.
if KEYS[5] and redis.call('GET', KEYS[5]) ~= ARGV[2] then return {'not_ours'} end
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return {'gone'} end
if string.find(ARGV[1], ' ' .. kind .. ' ', 1, true) then return {'whole', kind} end
if ARGV[3] ~= '' and redis.sha1hex(redis.call('DUMP', KEYS[1])) ~= ARGV[3] then return {'changed', kind} end
local words = tonumber(ARGV[5])
local told = {}
for at = 1, words do told[at] = ARGV[5 + at] end
local left = set_aside(KEYS[1], KEYS[2], KEYS[3], kind, told, 1)
if not failed and not left then return {'taken', kind} end
if ARGV[4] == 'string' then
  step({'UNLINK', KEYS[1]}, 'SET', KEYS[1], ARGV[6 + words])
else
  -- In parts: unpack has room for some 8,000 values.
  for at = 6 + words, #ARGV, 1000 do
    step({'UNLINK', KEYS[1]}, 'HSET', KEYS[1], unpack(ARGV, at, math.min(at + 999, #ARGV)))
  end
end
if left and left >= 0 then step(nil, 'PEXPIRE', KEYS[1], math.max(left, 1)) end
if failed then return failed end
redis.pcall('UNLINK', KEYS[4])
return {'moved', kind, left}
""",
)
