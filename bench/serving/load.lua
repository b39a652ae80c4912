-- Sends one prediction after the other on every connection, and prints one line
-- of JSON at the end.
--
-- BENCH_HEADERS   "Name: value" lines
-- BENCH_BODIES    files with a body each, one path a line; they take turns
-- BENCH_VARIED    1: every request carries a traceparent that none had before
-- BENCH_EXPECTED  what stands in every right answer; empty: nobody looks

local bodies = {}
for path in string.gmatch(os.getenv("BENCH_BODIES"), "[^\n]+") do
  local file = assert(io.open(path, "rb"))
  bodies[#bodies + 1] = file:read("*a")
  file:close()
end
for name, value in string.gmatch(os.getenv("BENCH_HEADERS"), "([^:\n]+): ([^\n]+)") do
  wrk.headers[name] = value
end
wrk.method = "POST"
wrk.body = bodies[1]

if os.getenv("BENCH_VARIED") == "1" then
  local before, after, sent = {}, {}, 0
  function init()
    wrk.headers["traceparent"] = "@TRACEPARENT@"
    for index, body in ipairs(bodies) do
      local whole = wrk.format(nil, nil, nil, body)
      local from, to = string.find(whole, "@TRACEPARENT@", 1, true)
      before[index], after[index] = whole:sub(1, from - 1), whole:sub(to + 1)
    end
  end
  local seed = os.time()
  function request()
    sent = sent + 1
    local index = sent % #bodies + 1
    local id = string.format("00-%016x%016x-%016x-01", seed, sent, sent)
    return before[index] .. id .. after[index]
  end
end

local threads = {}
function setup(thread)
  threads[#threads + 1] = thread
end

wrong = 0
local expected = os.getenv("BENCH_EXPECTED") or ""
if expected ~= "" then
  function response(status, headers, body)
    if not string.find(body, expected, 1, true) then wrong = wrong + 1 end
  end
end

function done(summary, latency)
  local others = 0
  for _, thread in ipairs(threads) do others = others + thread:get("wrong") end
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_us":%d,"p90_us":%d,"p99_us":%d,' ..
    '"refused":%d,"broken":%d,"wrong":%d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(90), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    others))
end
