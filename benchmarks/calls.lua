-- For wrk: each call with the next of many values of one header. Arguments: that header, a file of its values,
-- and names and values of the headers that are always the same. At the end one line with all that wrk counted,
-- since wrk's own table lacks the 95th percentile.
local requests = {}

function init(args)
  local headers = {}
  for at = 3, #args, 2 do
    headers[args[at]] = args[at + 1]
  end
  for value in io.lines(args[2]) do
    headers[args[1]] = value
    requests[#requests + 1] = wrk.format("GET", nil, headers)
  end
end

local at = 0
function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, requests)
  local wrong = summary.errors.status + summary.errors.connect + summary.errors.read
    + summary.errors.write + summary.errors.timeout
  io.write(string.format("imp %d %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(95), latency:percentile(99), wrong))
end
