-- Holds the JSON body of a call against its message before the transcoder reads it, because the
-- transcoder drops what it does not know. MESSAGES and BODIES are rendered from the contracts.
--
-- The body is read as it streams, so authentication, further down the chain, has decided on the
-- headers before a body is looked at. Once headers went on, a script cannot answer any more: it
-- leaves its finding in the metadata and hands the transcoder a body that no parser accepts.

local byte, find, match, sub = string.byte, string.find, string.match, string.sub

local NAMESPACE = "tessera.gateway"
local DEPTH_MAX = 64
local BROKEN_BODY = "!"
local QUOTE, BACKSLASH, COMMA, COLON = 34, 92, 44, 58
local OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT = 91, 93, 123, 125

-- A field is written by its JSON name or by its name in the contract; both lead to one entry.
local FIELDS = {}
for name, fields in pairs(MESSAGES) do
  local index = {}
  for _, field in ipairs(fields) do
    local entry = { name = field[1], shape = field[3], message = field[4], list = field[5] }
    index[field[1]] = entry
    index[field[2]] = entry
  end
  FIELDS[name] = index
end

local ANYTHING = { shape = "any" }

local function refuse(path, problem)
  error({ field = path, problem = problem }, 0)
end

local function skip_space(text, at)
  return find(text, "[^ \t\r\n]", at) or #text + 1
end

-- Returns the position after the closing quote of the string that opens at `at`.
local function pass_string(text, at, path)
  local position = at + 1
  while true do
    position = find(text, '[%z\1-\31"\\]', position)
    local code = position and byte(text, position)
    if code == QUOTE then
      return position + 1
    elseif code ~= BACKSLASH then
      refuse(path, "malformed JSON: a text does not end")
    end
    position = position + 2
  end
end

local function pass_scalar(text, at, path)
  if byte(text, at) == QUOTE then
    return pass_string(text, at, path)
  end
  local word = match(text, "^[%w+.-]+", at)
  if not word then
    refuse(path, "malformed JSON: a value is missing")
  end
  local literal = word == "true" or word == "false" or word == "null"
  if not literal and not match(word, "^-?%d[%d.eE+-]*$") then
    refuse(path, "malformed JSON: " .. sub(word, 1, 32) .. " is not a value")
  end
  return at + #word
end

local pass_value

local function pass_list(text, at, entry, path, depth)
  local element = { shape = entry.shape, message = entry.message }
  at = skip_space(text, at + 1)
  if byte(text, at) == CLOSE_LIST then
    return at + 1
  end
  local index = 0
  while true do
    at = pass_value(text, at, element, path .. "[" .. index .. "]", depth)
    at = skip_space(text, at)
    local code = byte(text, at)
    if code == CLOSE_LIST then
      return at + 1
    elseif code ~= COMMA then
      refuse(path, "malformed JSON: a list goes on without a comma")
    end
    at = skip_space(text, at + 1)
    index = index + 1
  end
end

-- The entry that a member of an object must follow; `seen` remembers the fields written so far.
local function find_member(entry, key, seen, path)
  if entry.shape == "any" then
    return ANYTHING
  end
  if entry.shape == "map" then
    return FIELDS[entry.message].value
  end
  local member = FIELDS[entry.message][key]
  if not member then
    refuse(path, "unknown field")
  elseif seen[member] then
    refuse(path, "the field is written twice")
  end
  seen[member] = true
  return member
end

local function pass_object(text, at, entry, path, depth)
  local seen = {}
  at = skip_space(text, at + 1)
  if byte(text, at) == CLOSE_OBJECT then
    return at + 1
  end
  while true do
    if byte(text, at) ~= QUOTE then
      refuse(path, "malformed JSON: a field name must be quoted")
    end
    local after = pass_string(text, at, path)
    local key = sub(text, at + 1, after - 2)
    local member_path = path == "" and key or path .. "." .. key
    local member = find_member(entry, key, seen, sub(member_path, 1, 200))
    at = skip_space(text, after)
    if byte(text, at) ~= COLON then
      refuse(member_path, "malformed JSON: a colon is missing")
    end
    at = pass_value(text, skip_space(text, at + 1), member, member_path, depth)
    at = skip_space(text, at)
    local code = byte(text, at)
    if code == CLOSE_OBJECT then
      return at + 1
    elseif code ~= COMMA then
      refuse(path, "malformed JSON: an object goes on without a comma")
    end
    at = skip_space(text, at + 1)
  end
end

function pass_value(text, at, entry, path, depth)
  if depth > DEPTH_MAX then
    refuse(path, "nested too deeply")
  end
  local code = byte(text, at)
  if code == OPEN_LIST then
    if not entry.list and entry.shape ~= "any" then
      refuse(path, "a list is not expected here")
    end
    return pass_list(text, at, entry, path, depth + 1)
  elseif code == OPEN_OBJECT then
    if entry.list or entry.shape == "scalar" then
      refuse(path, "an object is not expected here")
    end
    return pass_object(text, at, entry, path, depth + 1)
  end
  local after = pass_scalar(text, at, path)
  local single = entry.shape == "any" or (entry.shape == "scalar" and not entry.list)
  if not single and sub(text, at, after - 1) ~= "null" then
    refuse(path, entry.list and "a list is expected here" or "an object is expected here")
  end
  return after
end

local function pass_body(text, entry)
  local at = pass_value(text, skip_space(text, 1), entry, "", 0)
  if skip_space(text, at) <= #text then
    refuse("", "malformed JSON: something follows the end")
  end
end

local function read_body(handle)
  local parts, last = {}, nil
  for chunk in handle:bodyChunks() do
    parts[#parts + 1] = chunk:getBytes(0, chunk:length())
    -- Nothing leaves before all of it was read: a stream that ends in trailers ends up empty.
    chunk:setBytes("")
    last = chunk
  end
  return table.concat(parts), last
end

function envoy_on_request(handle)
  local content_type = handle:headers():get("content-type")
  if content_type and sub(content_type, 1, 16) == "application/grpc" then
    return
  end
  local text, last = read_body(handle)
  if text == "" then
    return
  end
  -- By now the transcoder has replaced the path by the method's.
  local entry = BODIES[handle:headers():get(":path")]
  local passed, finding = true, nil
  if entry then
    passed, finding = pcall(pass_body, text, entry)
  end
  if passed then
    last:setBytes(text)
    return
  end
  local metadata = handle:streamInfo():dynamicMetadata()
  if type(finding) ~= "table" then
    handle:logErr(finding)
    finding = { field = "", problem = "it cannot be read" }
  end
  metadata:set(NAMESPACE, "field", string.gsub(finding.field, "[^\32-\126]", "?"))
  metadata:set(NAMESPACE, "problem", finding.problem)
  last:setBytes(BROKEN_BODY)
end
