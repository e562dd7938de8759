package server

import (
	"os"
	"runtime/debug"

	"rollcall/probe"
)

// What one probe in flight may need: its own connection and the client's, one more while a name is looked up; and memory
// for buffers, the TLS handshake and a reply, with room for garbage.
const (
	descriptorsPerProbe = 3
	memoryPerProbe      = 128 << 10
	descriptorsReserved = 64 // listeners, log, configuration, a file that is being reloaded

	adminConnections = descriptorsReserved / 4 // on the administrator's address, which answers also when the others are full

	memoryPerConnection = 16 << 10 // that is idle between requests
)

// defaultMaxInFlight is how many probes may run at once when --probe.max-in-flight is 0: as many as the descriptors
// allow and as fit into half of the memory. descriptors and memory (bytes) are 0 where the limit is not known.
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

// heldMemory limits what probes, their peers and our clients make us hold to five eighths of the memory (bytes; 0: not
// known): half of the memory is for what every probe needs, see defaultMaxInFlight. Of the five eighths three eighths may be
// what some probes need more: at least a body of the default limit.
func heldMemory(memory uint64) *probe.Memory {
	const least, unknown = 48 << 20, 4 << 30
	if memory == 0 {
		memory = unknown
	}
	limit := max(memory/8*5, least)
	return probe.NewMemory(int64(limit), int64(limit/8*3))
}

// maxConnections is how many connections our ports may hold: what maxInFlight probes leave of the descriptors, with half
// of the reserve for requests that only get a 503, and what fits into an eighth of the memory. Prometheus keeps one
// connection for each target; with fewer than that it reconnects, nothing else.
func maxConnections(descriptors, memory uint64, maxInFlight int) int {
	const least, most = 16, 1_000_000
	limit := uint64(most)
	if descriptors > 0 {
		taken := descriptorsReserved/2 + uint64(maxInFlight)*(descriptorsPerProbe-1)
		limit = max(descriptors, taken) - taken
		if limit < descriptors/4 { // more probes are allowed than descriptors: clients still get half
			limit = descriptors / 2
		}
		limit = min(limit, most)
	}
	if memory > 0 {
		limit = min(limit, uint64(maxInFlight)+memory/8/memoryPerConnection)
	}
	return int(max(limit, least))
}

// collectOften has garbage collected when the heap has grown by a half, or by a third, instead of doubled, once there are so
// many targets that what is kept of them is most of it. A probe makes some kilobytes of garbage, so that it costs 2.5 µs of
// processor time more at each of the two. GOGC decides when it is set.
func collectOften(targets int) {
	const many, most = 1000, 50_000
	switch {
	case os.Getenv("GOGC") != "" || targets < many:
	case targets < most:
		debug.SetGCPercent(50)
	default:
		debug.SetGCPercent(33)
	}
}
