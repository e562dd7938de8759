package server

import "rollcall/probe"

// What one probe in flight may need: its own connection and that of the asker, one more while a name is looked up;
// and memory for buffers, the TLS handshake and a reply, with room for garbage.
const (
	descriptorsPerProbe = 3
	memoryPerProbe      = 128 << 10
	descriptorsReserved = 64 // listeners, log, configuration, a file that is being reloaded

	memoryPerConnection = 16 << 10 // of an asker who is between requests
)

// defaultMaxInFlight is how many probes may run at once when --probe.max-in-flight is 0: as many as the descriptors
// carry and as fit into half of the memory. An argument of 0 is a limit that is not known.
func defaultMaxInFlight(descriptors, memory uint64) int {
	const least, most = 8, 100_000
	limit := uint64(most)
	if descriptors > 0 {
		limit = min(limit, (max(descriptors, descriptorsReserved)-descriptorsReserved)/descriptorsPerProbe)
	}
	if memory > 0 {
		limit = min(limit, memory/2/memoryPerProbe)
	}
	return int(max(limit, least))
}

// bodyMemory is what probes in flight may keep of bodies, a quarter of the memory; at least three bodies of the default
// limit fit. 0: the memory is not known.
func bodyMemory(memory uint64) *probe.BodyMemory {
	const least, unknown = 32 << 20, 1 << 30
	if memory == 0 {
		memory = 4 * unknown
	}
	return probe.NewBodyMemory(int64(max(memory/4, least)))
}

// maxConnections is how many connections our ports may hold: what maxInFlight probes leave of the descriptors, of which
// half of the reserve goes to those that are only told that we are busy, and what fits into an eighth of the memory.
// Prometheus keeps one connection for each target, so that fewer connections than targets only cost it new ones.
func maxConnections(descriptors, memory uint64, maxInFlight int) int {
	const least, most = 16, 1_000_000
	limit := uint64(most)
	if descriptors > 0 {
		taken := descriptorsReserved/2 + uint64(maxInFlight)*(descriptorsPerProbe-1)
		limit = max(descriptors, taken) - taken
		if limit < descriptors/4 { // more probes are allowed than descriptors carry: nobody is kept out for their sake
			limit = descriptors / 2
		}
		limit = min(limit, most)
	}
	if memory > 0 {
		limit = min(limit, uint64(maxInFlight)+memory/8/memoryPerConnection)
	}
	return int(max(limit, least))
}
