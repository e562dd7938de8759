package main

// What one probe in flight may need: its own connection and that of the asker, one more while a name is looked up;
// and memory for buffers, the TLS handshake and a reply, with room for garbage.
const (
	descriptorsPerProbe = 3
	memoryPerProbe      = 128 << 10
	descriptorsReserved = 64 // listeners, log, configuration, a file that is being reloaded
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
