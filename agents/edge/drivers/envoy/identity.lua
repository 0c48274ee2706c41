-- Who calls. Delivered by ECDS and never disabled: a route without metadata is refused.
-- @PROBE@, @PAIRS@ and @GRANTS@ are filled in by identity.py with hex digits and UUIDs only.
local bit = require("bit")
local band, bor, bxor, bnot = bit.band, bit.bor, bit.bxor, bit.bnot
local rsh, lsh, ror, tobit, tohex = bit.rshift, bit.lshift, bit.ror, bit.tobit, bit.tohex

local K = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}
for i = 1, 64 do K[i] = tobit(K[i]) end

local W = {}
local function sha256(s)
  local bits = #s * 8
  s = s .. "\128" .. string.rep("\0", (55 - #s) % 64) .. "\0\0\0\0" .. string.char(
    band(rsh(bits, 24), 255), band(rsh(bits, 16), 255), band(rsh(bits, 8), 255), band(bits, 255))
  local H1, H2, H3, H4 = tobit(0x6a09e667), tobit(0xbb67ae85), tobit(0x3c6ef372), tobit(0xa54ff53a)
  local H5, H6, H7, H8 = tobit(0x510e527f), tobit(0x9b05688c), tobit(0x1f83d9ab), tobit(0x5be0cd19)
  for chunk = 1, #s, 64 do
    for i = 0, 15 do
      local a, b, c, d = string.byte(s, chunk + i * 4, chunk + i * 4 + 3)
      W[i + 1] = bor(lsh(a, 24), lsh(b, 16), lsh(c, 8), d)
    end
    for i = 17, 64 do
      local w15, w2 = W[i - 15], W[i - 2]
      local s0 = bxor(ror(w15, 7), ror(w15, 18), rsh(w15, 3))
      local s1 = bxor(ror(w2, 17), ror(w2, 19), rsh(w2, 10))
      W[i] = tobit(W[i - 16] + s0 + W[i - 7] + s1)
    end
    local a, b, c, d, e, f, g, h = H1, H2, H3, H4, H5, H6, H7, H8
    for i = 1, 64 do
      local S1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
      local t1 = tobit(h + S1 + bxor(band(e, f), band(bnot(e), g)) + K[i] + W[i])
      local S0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
      local t2 = tobit(S0 + bxor(band(a, b), band(a, c), band(b, c)))
      h, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + t2)
    end
    H1, H2, H3, H4 = tobit(H1 + a), tobit(H2 + b), tobit(H3 + c), tobit(H4 + d)
    H5, H6, H7, H8 = tobit(H5 + e), tobit(H6 + f), tobit(H7 + g), tobit(H8 + h)
  end
  return tohex(H1) .. tohex(H2) .. tohex(H3) .. tohex(H4) ..
    tohex(H5) .. tohex(H6) .. tohex(H7) .. tohex(H8)
end

-- The agent's own key. It opens only the probe routes, whose answer is a direct response.
local PROBE = "@PROBE@"

-- digest -> state (1 active, 0 suspended) followed by "publish/plan/subscription". Long strings and
-- not table literals: LuaJIT limits the constants of a function.
local PAIRS, GRANTS = {}, {}
for pair in string.gmatch([[
@PAIRS@
]], "[^\n]+") do PAIRS[#PAIRS + 1] = pair end
for digest, state, pair, subscription in string.gmatch([[
@GRANTS@
]], "(%x+) (%d) (%d+) ([^\n]+)") do
  GRANTS[digest] = state .. PAIRS[tonumber(pair)] .. "/" .. subscription
end

local function deny(handle, status, code)
  handle:respond(
    {[":status"] = status, ["content-type"] = "application/json"},
    '{"error":{"code":"' .. code .. '"}}')
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local key, copies = headers:get("x-api-key"), headers:getNumValues("x-api-key")
  -- The filter before this one strips every identity header; these are repeated so that this
  -- filter is safe by itself.
  headers:remove("x-api-key")
  headers:remove("x-consumer")
  headers:remove("x-imp-plan")

  local route = handle:metadata()
  local mode, publish = route:get("auth"), route:get("publish")
  if mode == "none" then return end
  if mode ~= "api-key" or not publish then return deny(handle, "401", "unauthorized") end
  -- Over 256 bytes is refused before it is hashed.
  if not key or copies ~= 1 or #key > 256 then return deny(handle, "401", "unauthorized") end

  local digest = sha256(key)
  if route:get("probe") then
    if digest ~= PROBE then return deny(handle, "401", "unauthorized") end
    headers:replace("x-consumer", publish .. "/probe/probe")
    return
  end
  local grant = GRANTS[digest]
  if not grant then return deny(handle, "401", "unauthorized") end
  -- A UUID is 36 bytes: state 1, publish 2-37, plan 39-74.
  if string.sub(grant, 2, 37) ~= publish then return deny(handle, "403", "not_subscribed") end
  if string.sub(grant, 1, 1) ~= "1" then return deny(handle, "403", "subscription_suspended") end
  headers:replace("x-consumer", string.sub(grant, 2))
  headers:replace("x-imp-plan", string.sub(grant, 39, 74))
end
