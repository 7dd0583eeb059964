-- What scripts/load has wrk do: one key, or many by Zipf's law; the figures as one line of JSON.
-- Arguments after "--": TEMPLATE KEYS; with more than one key, {} in the template is a key's number.

local DRAWN = 1000000 -- Requests drawn before the start, then repeated: drawing costs the load nothing.

function init(args)
   local template, keys = args[1], tonumber(args[2])
   if keys == 1 then return end
   local requests, sums, sum = {}, {}, 0
   for rank = 1, keys do
      local path = template:gsub("{}", tostring(rank - 1))
      requests[rank] = wrk.format("GET", path)
      sum = sum + 1 / rank
      sums[rank] = sum
   end
   math.randomseed(7)
   local drawn = {}
   for at = 1, DRAWN do
      local point, low, high = math.random() * sum, 1, keys
      while low < high do
         local middle = math.floor((low + high) / 2)
         if sums[middle] > point then high = middle else low = middle + 1 end
      end
      drawn[at] = requests[low]
   end
   requests, sums = nil, nil
   local at = 0
   function request()
      at = at % DRAWN + 1
      return drawn[at]
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %f, "bytes": %d, "errors": %d, "p50_us": %d, "p99_us": %d, "p999_us": %d, "max_us": %d}\n',
      summary.requests, summary.duration / 1e6, summary.bytes,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
