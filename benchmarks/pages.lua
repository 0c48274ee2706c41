-- For wrk: the same page again and again, each time by the next reader; at the end one line with the latencies that wrk's own table lacks.
-- argument 1: a file of Cookie headers, argument 2: the Cache-Control header.
local requests = {}

function init(args)
  for cookie in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", nil, {["Cookie"] = cookie, ["Cache-Control"] = args[2]})
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
