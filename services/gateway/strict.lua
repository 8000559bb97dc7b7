-- Holds the JSON body of a call against its message before the transcoder reads it, because the
-- transcoder drops what it does not know. MESSAGES, NAMES and BODIES are rendered from the contracts.
--
-- The body is looked at as it streams by, so authentication, further down the chain, has decided
-- on the headers already. Once headers went on, a script cannot answer any more: it leaves its
-- finding in the metadata and breaks the rest of the body, so that the transcoder refuses it. What
-- is merely cut short is left to the transcoder, too.

local byte, find, match, sub = string.byte, string.find, string.match, string.sub

local NAMESPACE = "tessera.gateway"
local DEPTH_MAX = 64
local NAME_BYTES_MAX = 256
local WORD_BYTES_MAX = 64
local BROKEN = "!"
local QUOTE, BACKSLASH, COMMA, COLON = 34, 92, 44, 58
local OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT = 91, 93, 123, 125

-- A field is written by its JSON name or by its name in the contract; both lead to one entry.
local FIELDS = {}
for name, fields in pairs(MESSAGES) do
  local index = {}
  for _, field in ipairs(fields) do
    local entry = { shape = field[3], message = field[4], list = field[5], nullable = true }
    index[field[1]] = entry
    index[field[2]] = entry
  end
  FIELDS[name] = index
end

-- What a single value may be: whether it is written in quotes, how it looks inside them or without,
-- and what is said otherwise. The transcoder knows more, as calendars; here is found what its own
-- complaint would not tell the field of.
local function is_integer(word)
  return match(word, "^-?%d+%.?0*$") or match(word, "^-?%d+%.?%d*[eE][+-]?%d+$")
end
-- In quotes the transcoder reads digits alone.
local function is_quoted_integer(word)
  return match(word, "^-?%d+$")
end
local function is_time(word)
  return match(word, "^%d%d%d%d%-%d%d%-%d%d[Tt]%d%d:%d%d:%d%d%.?%d*[Zz]$")
    or match(word, "^%d%d%d%d%-%d%d%-%d%d[Tt]%d%d:%d%d:%d%d%.?%d*[+-]%d%d:%d%d$")
end
local function is_duration(word)
  return match(word, "^-?%d+%.?%d*s$")
end
local function integer(least, most)
  return {
    fits = is_quoted_integer,
    bare = true,
    problem = "a whole number is expected",
    least = least,
    most = most,
    range = "a whole number from " .. least .. " to " .. most .. " is expected",
  }
end
local KINDS = {
  int32 = integer("-2147483648", "2147483647"),
  int64 = integer("-9223372036854775808", "9223372036854775807"),
  uint32 = integer("0", "4294967295"),
  uint64 = integer("0", "18446744073709551615"),
  time = { fits = is_time, problem = "a time like 2026-03-01T12:00:00Z is expected" },
  duration = { fits = is_duration, problem = "a duration in seconds like 900s is expected" },
  name = { bare = true, problem = "it is none of the names of the contract" },
  text = { problem = "a text in quotes is expected" },
}

-- What stands in a list or under a key must be there: null means absence, and only a field has that.
local function as_element(entry)
  return { shape = entry.shape, message = entry.message, nullable = entry.shape == "any" }
end

local function complete(entry)
  if entry.shape == "map" then
    entry.element = as_element(FIELDS[entry.message].value)
  elseif entry.list then
    entry.element = as_element(entry)
  end
end

for _, fields in pairs(FIELDS) do
  for _, entry in pairs(fields) do
    complete(entry)
  end
end
for _, entry in pairs(BODIES) do
  complete(entry)
end

local ANYTHING = { shape = "any", nullable = true }
ANYTHING.element = ANYTHING

local function refuse(path, problem)
  error({ field = path, problem = problem }, 0)
end

-- Takes in the next part of the body, keeps what lies from `at` on, and returns where that is now.
local function await(reader, at)
  local length = #reader.text
  reader.text = sub(reader.text, at) .. coroutine.yield()
  return at > length and at - length or 1
end

-- Returns the position of the next character that is no space, and the character's code.
local function skip_space(reader, at)
  while true do
    local found = find(reader.text, "[^ \t\r\n]", at)
    if found then
      return found, byte(reader.text, found)
    end
    at = await(reader, #reader.text + 1)
  end
end

-- Returns the position after the text whose opening quote is at `at`.
local function pass_text(reader, at, path)
  at = at + 1
  while true do
    local found = find(reader.text, '[%z\1-\31"\\]', at)
    local code = found and byte(reader.text, found)
    if not found then
      at = await(reader, math.max(at, #reader.text + 1))
    elseif code == QUOTE then
      return found + 1
    elseif code == BACKSLASH then
      at = found + 2
    else
      refuse(path, "malformed JSON: a text holds a control character")
    end
  end
end

-- As the pattern in read_name, for names that hold escapes: nil while the closing quote is missing.
local function match_escaped(text, at)
  local position = at + 1
  while true do
    position = find(text, '["\\]', position)
    if not position then
      return nil
    elseif byte(text, position) == QUOTE then
      return sub(text, at + 1, position - 1), position + 1
    end
    position = position + 2
  end
end

-- Returns the position after the field name whose opening quote is at `at`, and the name as it is
-- written. Escapes stay as they are: names of fields need none, and keys of maps are not compared.
local function read_name(reader, at, path)
  if byte(reader.text, at) ~= QUOTE then
    refuse(path, "malformed JSON: a field name in quotes is expected")
  end
  while true do
    local name, close = match(reader.text, '^"([^%z\1-\31"\\]*)"()', at)
    if not name then
      name, close = match_escaped(reader.text, at)
    end
    if name then
      return close, name
    elseif #reader.text - at > NAME_BYTES_MAX then
      refuse(path, "malformed JSON: the name of a field does not end")
    end
    at = await(reader, at)
  end
end

-- Returns the position after the number or literal at `at`, and the word itself.
local function read_word(reader, at, path)
  while true do
    local word, close = match(reader.text, "^([%w+.-]*)()", at)
    if word == "" or #word > WORD_BYTES_MAX then
      refuse(path, "malformed JSON: a value is expected")
    elseif close <= #reader.text then
      local literal = word == "true" or word == "false" or word == "null"
      if not literal and not match(word, "^-?%d[%d.eE+-]*$") then
        refuse(path, "malformed JSON: a value is expected")
      end
      return close, word
    end
    at = await(reader, at)
  end
end

-- Returns the text whose opening quote is at `at`, and the position behind it. Nothing that is read
-- this way is long or holds an escape: for everything else there is no text.
local function read_text(reader, at, path)
  while true do
    local text, close = match(reader.text, '^"([^%z\1-\31"\\]*)"()', at)
    if text or #reader.text - at > NAME_BYTES_MAX or find(reader.text, "[%z\1-\31\\]", at) then
      return text, close
    end
    at = await(reader, at)
  end
end

local pass_value

local function pass_list(reader, at, entry, path, depth)
  local element = entry.element or ANYTHING
  local code
  at, code = skip_space(reader, at + 1)
  if code == CLOSE_LIST then
    return at + 1
  end
  local index = 0
  while true do
    at = pass_value(reader, at, element, path .. "[" .. index .. "]", depth)
    at, code = skip_space(reader, at)
    if code == CLOSE_LIST then
      return at + 1
    elseif code ~= COMMA then
      refuse(path, "malformed JSON: a comma is missing")
    end
    at = skip_space(reader, at + 1)
    index = index + 1
  end
end

-- Returns what a member of an object must follow; `seen` remembers the fields written so far.
local function find_member(entry, name, seen, path)
  if entry.shape == "any" then
    return ANYTHING
  elseif entry.shape == "map" then
    return entry.element
  end
  local member = FIELDS[entry.message][name]
  if not member then
    refuse(path, "unknown field")
  elseif seen[member] then
    refuse(path, "the field is written twice")
  end
  seen[member] = true
  return member
end

local function pass_object(reader, at, entry, path, depth)
  local seen = {}
  local prefix = path == "" and "" or path .. "."
  local code
  at, code = skip_space(reader, at + 1)
  if code == CLOSE_OBJECT then
    return at + 1
  end
  while true do
    local name
    at, name = read_name(reader, at, path)
    local member_path = prefix .. name
    local member = find_member(entry, name, seen, member_path)
    at, code = skip_space(reader, at)
    if code ~= COLON then
      refuse(member_path, "malformed JSON: a colon is missing")
    end
    at = pass_value(reader, skip_space(reader, at + 1), member, member_path, depth)
    at, code = skip_space(reader, at)
    if code == CLOSE_OBJECT then
      return at + 1
    elseif code ~= COMMA then
      refuse(path, "malformed JSON: a comma is missing")
    end
    at = skip_space(reader, at + 1)
  end
end

-- Whether a text in quotes is what its field takes.
local function fits(entry, word)
  if entry.shape == "name" then
    return NAMES[entry.message][word] or is_quoted_integer(word)
  end
  return KINDS[entry.shape].fits(word)
end

-- Whether a whole number fits its type. Digits are compared as texts: Lua's numbers lose the last ones
-- of 64 bits, which is good enough for a number with an exponent alone.
local function is_in_range(kind, word)
  local sign, digits = match(word, "^(-?)0*(%d+)%.?0*$")
  local bound = match(sub(word, 1, 1) == "-" and kind.least or kind.most, "%d+")
  if not digits then
    return math.abs(tonumber(word)) <= tonumber(bound)
  elseif sign == "-" and digits == "0" then
    return true
  end
  return #digits < #bound or (#digits == #bound and digits <= bound)
end

local function check_range(kind, word, path)
  if kind.range and not is_in_range(kind, word) then
    refuse(path, kind.range)
  end
end

-- Returns the position after the text, number or name at `at`.
local function pass_kind(reader, at, entry, path)
  local kind = KINDS[entry.shape]
  if byte(reader.text, at) ~= QUOTE then
    local after, word = read_word(reader, at, path)
    if word == "null" and not entry.nullable then
      refuse(path, "null is not expected")
    elseif word ~= "null" and not (kind.bare and is_integer(word)) then
      refuse(path, kind.problem)
    elseif word ~= "null" then
      check_range(kind, word, path)
    end
    return after
  elseif entry.shape == "text" then
    return pass_text(reader, at, path)
  end
  local text, after = read_text(reader, at, path)
  if not text or not fits(entry, text) then
    refuse(path, kind.problem)
  end
  check_range(kind, text, path)
  return after
end

local function pass_single(reader, at, entry, path)
  if KINDS[entry.shape] and not entry.list then
    return pass_kind(reader, at, entry, path)
  end
  local single = not entry.list and (entry.shape == "any" or entry.shape == "scalar")
  if single and byte(reader.text, at) == QUOTE then
    return pass_text(reader, at, path)
  end
  local after, word = at, ""
  if byte(reader.text, at) ~= QUOTE then
    after, word = read_word(reader, at, path)
  end
  if word == "null" and not entry.nullable then
    refuse(path, "null is not expected")
  elseif single or word == "null" then
    return after
  elseif entry.list then
    refuse(path, "a list is expected")
  elseif entry.shape ~= "truth" then
    refuse(path, "an object is expected")
  elseif word ~= "true" and word ~= "false" then
    refuse(path, "true or false is expected")
  end
  return after
end

-- Returns the position after the value at `at`, which is no space.
function pass_value(reader, at, entry, path, depth)
  if depth > DEPTH_MAX then
    refuse(path, "nested too deeply")
  end
  local code = byte(reader.text, at)
  if code == OPEN_LIST then
    if not entry.list and entry.shape ~= "any" then
      refuse(path, "a list is not expected")
    end
    return pass_list(reader, at, entry, path, depth + 1)
  elseif code == OPEN_OBJECT then
    if entry.list or entry.shape == "scalar" or entry.shape == "truth" or KINDS[entry.shape] then
      refuse(path, "an object is not expected")
    end
    return pass_object(reader, at, entry, path, depth + 1)
  end
  return pass_single(reader, at, entry, path)
end

-- Runs as a coroutine, resumed with each part of the body; ends only with an error.
local function pass_body(text, entry)
  local reader = { text = text }
  local at = pass_value(reader, skip_space(reader, 1), entry, "", 0)
  skip_space(reader, at)
  refuse("", "malformed JSON: something follows its end")
end

local function report(handle, finding)
  if type(finding) ~= "table" then
    handle:logErr(tostring(finding))
    finding = { field = "", problem = "it cannot be read" }
  end
  local metadata = handle:streamInfo():dynamicMetadata()
  -- Names come from the caller, and metadata must be UTF-8.
  local field = string.gsub(sub(finding.field, 1, NAME_BYTES_MAX), "[^\32-\126]", "?")
  metadata:set(NAMESPACE, "field", field)
  metadata:set(NAMESPACE, "problem", finding.problem)
end

function envoy_on_request(handle)
  local content_type = handle:headers():get("content-type")
  if content_type and sub(content_type, 1, 16) == "application/grpc" then
    return
  end
  local check, entry, refused
  for chunk in handle:bodyChunks() do
    if not check then
      -- By now the transcoder has replaced the path by the method's.
      entry = BODIES[handle:headers():get(":path")]
      check = entry and coroutine.create(pass_body) or false
      if not check then
        return
      end
    end
    if not refused then
      local alive, finding = coroutine.resume(check, chunk:getBytes(0, chunk:length()), entry)
      if not alive then
        refused = true
        report(handle, finding)
      end
    end
    -- Also what follows: it must not mend the body again.
    if refused then
      chunk:setBytes(BROKEN)
    end
  end
end
