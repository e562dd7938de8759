package collector

import (
	"crypto/tls"
	"hash/fnv"
	"net/netip"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"

	"rollcall/probe"
)

// builder holds the families of one reply with everything that is the same in each reply already wired: names,
// help, types, constant labels, and the pointers from a family down to the place of its value. Building a reply
// is then filling in numbers. It serves one reply at a time: its families live until the next build.
type builder struct {
	built    []family // those that the last build filled in, in order
	families [familyCount]dto.MetricFamily
	series   [familyCount][]series // one, or one for each of the family's labelValues
	labels   [familyCount][]string // the values of the family's labels, if they change
}

// series is one metric and the place of its value.
type series struct {
	metric dto.Metric
	gauge  dto.Gauge
	value  float64
}

func (s *series) wire(labels []*dto.LabelPair) {
	s.gauge.Value = &s.value
	s.metric.Gauge = &s.gauge
	s.metric.Label = labels
}

func newBuilder() *builder {
	b := &builder{built: make([]family, 0, familyCount)}
	gauge := dto.MetricType_GAUGE.Enum()
	for f := range familyCount {
		all := make([]series, f.seriesCount())
		metrics := make([]*dto.Metric, len(all))
		values := labelValues[f]
		if values == nil {
			values = make([]string, len(labelNames[f]))
			b.labels[f] = values
		}
		for i := range all {
			pairs := make([]*dto.LabelPair, len(labelNames[f]))
			for j := range pairs { // there is but one series, or but one label
				pairs[j] = &dto.LabelPair{Name: &labelNames[f][j], Value: &values[i+j]}
			}
			all[i].wire(pairs)
			metrics[i] = &all[i].metric
		}
		b.series[f] = all
		b.families[f].Name, b.families[f].Help = &descriptors[f].name, &descriptors[f].help
		b.families[f].Type, b.families[f].Metric = gauge, metrics
	}
	return b
}

// build fills in the families of r. The next build overwrites them.
func (b *builder) build(r *probe.Record) {
	b.built = b.built[:0]
	result := &r.Result

	// The calls stand in the order of the families' names, which is the order of the reply.
	b.addDNS(result)
	b.add(duration, result.Duration.Seconds())
	if result.TCP != nil {
		b.addExpects(result.TCP.Expects)
		b.add(failedDueToBytes, number(result.TCP.FailedBytes))
	}
	if result.HTTP != nil && result.HTTP.HasCEL {
		b.add(failedDueToCEL, number(result.HTTP.FailedCEL))
	}
	switch {
	case result.HTTP != nil:
		b.add(failedDueToRegex, number(result.HTTP.FailedRegexp))
	case result.TCP != nil:
		b.add(failedDueToRegex, number(result.TCP.FailedRegexp))
	}
	if f := result.Failure; f != nil {
		b.addInfo(failureInfo, string(f.Reason), string(f.Stage))
	}
	if result.GRPC != nil {
		b.addGRPC(result)
	}
	if result.HTTP != nil {
		b.addHTTP(result)
	}
	if result.ICMP != nil {
		b.addICMP(result)
	}
	if result.Resolve != nil {
		hash, protocol := address(result.Resolve.Addr)
		b.add(ipAddrHash, float64(hash))
		b.add(ipProtocol, float64(protocol))
	}
	if result.TLS != nil {
		b.addCertificates(result.TLS)
	}
	b.add(success, number(result.Failure == nil))
	b.add(timeout, r.Timeout.Seconds())
	if result.TLS != nil && result.TLS.Version != 0 {
		b.addConnection(result)
	}
	if result.WebSocket != nil {
		b.addWebSocket(result)
	}
}

func (b *builder) add(f family, value float64) {
	b.series[f][0].value = value
	b.built = append(b.built, f)
}

// addInfo adds a family that is always 1; the values are those of its labels.
func (b *builder) addInfo(f family, values ...string) {
	copy(b.labels[f], values)
	b.add(f, 1)
}

// phase is how long a phase of a probe took, and whether the reply has it.
type phase struct {
	there bool
	took  time.Duration
}

// addPhases adds a family with a series for each phase that is there, in the order of its labelValues. Without any the
// family is absent.
func (b *builder) addPhases(f family, phases ...phase) {
	shown := b.families[f].Metric[:0]
	for i, p := range phases {
		if p.there {
			b.series[f][i].value = p.took.Seconds()
			shown = append(shown, &b.series[f][i].metric)
		}
	}
	b.families[f].Metric = shown
	if len(shown) > 0 {
		b.built = append(b.built, f)
	}
}

// addTime adds t in whole seconds, the resolution that certificates and HTTP dates have; nothing when it is zero.
func (b *builder) addTime(f family, t time.Time) {
	if !t.IsZero() {
		b.add(f, float64(t.Unix()))
	}
}

// addHTTP adds the families of an http probe, with the phases that it came to: resolve unless a proxy did it, the others
// once a connection was tried.
func (b *builder) addHTTP(result *probe.Result) {
	http, phases := result.HTTP, &result.Phases
	tried := http.Hops > 0
	b.add(httpContentLength, float64(http.ContentLength))
	b.addPhases(httpDuration, phase{tried, phases.Connect}, phase{tried, phases.Processing},
		phase{result.Resolve != nil, phases.Resolve}, phase{tried, phases.TLS}, phase{tried, phases.Transfer})
	b.addTime(httpHopsEarliestCertExpiry, http.Expiring.NotAfter)
	b.addTime(httpLastModified, http.LastModified)
	b.add(httpRedirects, float64(http.Redirects))
	b.add(httpSSL, number(http.TLS))
	b.add(httpStatusCode, float64(http.StatusCode))
	b.add(httpUncompressedBodyLength, float64(http.UncompressedBodyLength))
	b.add(httpVersion, float64(http.VersionMajor)+float64(http.VersionMinor)/10)
}

// addDNS adds what begins with probe_dns: of the families of a dns probe all but the serial are always there, and all
// phases, also those that the probe did not come to. The lookup is any probe's.
func (b *builder) addDNS(result *probe.Result) {
	dns := result.DNS
	if dns != nil {
		b.add(dnsAdditionalRRs, float64(dns.Additionals))
		b.add(dnsAnswerRRs, float64(dns.Answers))
		b.add(dnsAuthorityRRs, float64(dns.Authorities))
		phases := &result.Phases
		b.addPhases(dnsDuration, phase{true, phases.Connect + phases.TLS}, phase{true, phases.Processing}, phase{true, phases.Resolve})
	}
	if result.Resolve != nil {
		b.add(dnsLookupTime, result.Resolve.Duration.Seconds())
	}
	if dns != nil {
		b.add(dnsQuerySucceeded, number(dns.Succeeded))
		if dns.HasSerial {
			b.add(dnsSerial, float64(dns.Serial))
		}
		b.add(dnsTruncated, number(dns.Truncated))
	}
}

// addICMP adds all phases, also those that the probe did not come to: blackbox_exporter does.
func (b *builder) addICMP(result *probe.Result) {
	phases := &result.Phases
	b.addPhases(icmpDuration, phase{true, phases.Resolve}, phase{true, phases.Processing}, phase{true, phases.Connect})
	if result.ICMP.HopLimit >= 0 {
		b.add(icmpReplyHopLimit, float64(result.ICMP.HopLimit))
	}
}

// addGRPC adds the families of a grpc probe. Until a connection was tried there is no check and no state, as with
// blackbox_exporter.
func (b *builder) addGRPC(result *probe.Result) {
	grpc, phases := result.GRPC, &result.Phases
	b.addPhases(grpcDuration, phase{grpc.Tried, phases.Connect + phases.TLS + phases.Processing}, phase{true, phases.Resolve})
	if grpc.Tried {
		for i, state := range labelValues[grpcHealthcheckResponse] {
			b.series[grpcHealthcheckResponse][i].value = number(grpc.Serving == state)
		}
		b.built = append(b.built, grpcHealthcheckResponse)
	}
	b.add(grpcSSL, number(grpc.TLS))
	b.add(grpcStatusCode, float64(grpc.StatusCode))
}

// addWebSocket adds the families of a websocket probe, with the phases that it came to. As with blackbox_exporter
// processing is all of the handshake, that of TLS included.
func (b *builder) addWebSocket(result *probe.Result) {
	socket, phases := result.WebSocket, &result.Phases
	b.add(websocketUpgraded, number(socket.Upgraded))
	b.addPhases(websocketDuration, phase{socket.Tried, phases.Connect}, phase{socket.Tried, phases.TLS + phases.Processing},
		phase{result.Resolve != nil, phases.Resolve}, phase{phases.Transfer > 0, phases.Transfer})
	b.add(websocketFailedDueToRegex, number(socket.FailedRegexp))
	b.add(websocketStatusCode, float64(socket.StatusCode))
}

// addCertificates adds what the target presented. A chain that did not verify has no expiry, and a made-up one
// would fire or silence alerts, so that family is then absent.
func (b *builder) addCertificates(facts *probe.TLSFacts) {
	b.addTime(sslClientCertExpiry, facts.ClientExpiry)
	b.addTime(sslEarliestCertExpiry, facts.EarliestExpiry)
	b.addTime(sslEarliestCertNotBefore, facts.EarliestStart)
	b.addTime(sslLastChainExpiry, facts.ChainExpiry)
	leaf := &facts.Leaf
	b.addInfo(sslLastChainInfo, leaf.FingerprintSHA256, leaf.Issuer, leaf.SerialNumber, leaf.Subject, leaf.SubjectAlternative)
}

func (b *builder) addConnection(result *probe.Result) {
	if result.HTTP != nil && result.TLS.CipherSuite != 0 {
		b.addInfo(tlsCipherInfo, cipherName(result.TLS.CipherSuite))
	}
	b.addInfo(tlsVersionInfo, tls.VersionName(result.TLS.Version))
}

// cipherNames holds the names of the suites that crypto/tls knows; its own look-up makes all its lists anew.
var cipherNames = sync.OnceValue(func() map[uint16]string {
	names := make(map[uint16]string)
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		names[suite.ID] = suite.Name
	}
	return names
})

func cipherName(id uint16) string {
	if name, known := cipherNames()[id]; known {
		return name
	}
	return tls.CipherSuiteName(id)
}

func number(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}

// address returns the FNV-1a hash of the address' 4 or 16 bytes and its protocol, both 0 for no address.
// IPv4 in IPv6's clothes counts as IPv4.
func address(addr netip.Addr) (hash uint32, protocol int) {
	if !addr.IsValid() {
		return 0, 0
	}
	bytes, start, protocol := addr.As16(), 0, 6
	if addr.Unmap().Is4() {
		start, protocol = 12, 4
	}
	h := fnv.New32a()
	h.Write(bytes[start:])
	return h.Sum32(), protocol
}
