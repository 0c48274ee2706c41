-- For wrk: each call with the next of many keys. argument 1: a file of keys, argument 2: the Host header.
local requests = {}

function init(args)
  for key in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", nil, {["Host"] = args[2], ["x-api-key"] = key})
  end
end

local at = 0
function request()
  at = at % #requests + 1
  return requests[at]
end
