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
	built     []family // those that the last build filled in, in order
	families  [familyCount]dto.MetricFamily
	single    [familyCount]series    // the series of a family that has one
	phases    [phaseCount]series     // those of probe_http_duration_seconds
	icmp      [icmpPhaseCount]series // those of probe_icmp_duration_seconds
	dns       [dnsPhaseCount]series  // those of probe_dns_duration_seconds
	grpc      [grpcPhaseCount]series // those of probe_grpc_duration_seconds
	serving   [len(servingStates)]series
	websocket [websocketPhaseCount]series // those of probe_websocket_duration_seconds

	failure [len(failureLabels)]string
	cert    [len(certLabels)]string
	cipher  [len(cipherLabels)]string
	version [len(versionLabels)]string
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
	metrics := make([]*dto.Metric, familyCount)
	for i := range b.families {
		f := &b.families[i]
		f.Name, f.Help, f.Type = &descriptors[i].name, &descriptors[i].help, gauge
		b.single[i].wire(nil)
		metrics[i] = &b.single[i].metric
		f.Metric = metrics[i : i+1 : i+1]
	}
	pairs := make([]dto.LabelPair, phaseCount+icmpPhaseCount+dnsPhaseCount+grpcPhaseCount+websocketPhaseCount+len(servingStates)+len(b.failure)+len(b.cert)+len(b.cipher)+len(b.version))
	labels := make([]*dto.LabelPair, len(pairs))
	next := 0
	label := func(s *series, names, values []string) {
		first := next
		for i := range names {
			pairs[next].Name, pairs[next].Value = &names[i], &values[i]
			labels[next] = &pairs[next]
			next++
		}
		s.wire(labels[first:next:next])
	}
	several := func(f family, all []series, names, values []string) {
		b.families[f].Metric = make([]*dto.Metric, len(all))
		for i := range all {
			label(&all[i], names, values[i:i+1])
			b.families[f].Metric[i] = &all[i].metric
		}
	}
	several(httpDuration, b.phases[:], phaseLabels[:], phaseNames[:])
	several(icmpDuration, b.icmp[:], phaseLabels[:], icmpPhases[:])
	several(dnsDuration, b.dns[:], phaseLabels[:], dnsPhases[:])
	several(grpcDuration, b.grpc[:], phaseLabels[:], grpcPhases[:])
	several(grpcHealthcheckResponse, b.serving[:], servingLabels[:], servingStates[:])
	several(websocketDuration, b.websocket[:], phaseLabels[:], websocketPhases[:])
	label(&b.single[failureInfo], failureLabels[:], b.failure[:])
	label(&b.single[sslLastChainInfo], certLabels[:], b.cert[:])
	label(&b.single[tlsCipherInfo], cipherLabels[:], b.cipher[:])
	label(&b.single[tlsVersionInfo], versionLabels[:], b.version[:])
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
		b.failure = [...]string{string(f.Reason), string(f.Stage)}
		b.add(failureInfo, 1)
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
	b.single[f].value = value
	b.built = append(b.built, f)
}

// addTime adds t in whole seconds, the resolution that certificates and HTTP dates have; nothing when it is zero.
func (b *builder) addTime(f family, t time.Time) {
	if !t.IsZero() {
		b.add(f, float64(t.Unix()))
	}
}

func (b *builder) addHTTP(result *probe.Result) {
	http := result.HTTP
	b.add(httpContentLength, float64(http.ContentLength))
	b.addPhases(result)
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
		b.dns[dnsPhaseConnect].value = (result.Phases.Connect + result.Phases.TLS).Seconds()
		b.dns[dnsPhaseRequest].value = result.Phases.Processing.Seconds()
		b.dns[dnsPhaseResolve].value = result.Phases.Resolve.Seconds()
		b.built = append(b.built, dnsDuration)
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

// addPhases adds the phases that the probe went into: resolve unless a proxy did it, the others once a connection
// was tried. Without any the family is absent.
func (b *builder) addPhases(result *probe.Result) {
	shown := b.families[httpDuration].Metric[:0]
	show := func(phase int, d time.Duration) {
		b.phases[phase].value = d.Seconds()
		shown = append(shown, &b.phases[phase].metric)
	}
	connecting := result.HTTP.Hops > 0
	if connecting {
		show(phaseConnect, result.Phases.Connect)
		show(phaseProcessing, result.Phases.Processing)
	}
	if result.Resolve != nil {
		show(phaseResolve, result.Phases.Resolve)
	}
	if connecting {
		show(phaseTLS, result.Phases.TLS)
		show(phaseTransfer, result.Phases.Transfer)
	}
	if len(shown) > 0 {
		b.families[httpDuration].Metric = shown
		b.built = append(b.built, httpDuration)
	}
}

// addICMP adds all phases, also those that the probe did not come to: blackbox_exporter does.
func (b *builder) addICMP(result *probe.Result) {
	b.icmp[icmpPhaseResolve].value = result.Phases.Resolve.Seconds()
	b.icmp[icmpPhaseRTT].value = result.Phases.Processing.Seconds()
	b.icmp[icmpPhaseSetup].value = result.Phases.Connect.Seconds()
	b.built = append(b.built, icmpDuration)
	if result.ICMP.HopLimit >= 0 {
		b.add(icmpReplyHopLimit, float64(result.ICMP.HopLimit))
	}
}

// addGRPC adds the families of a grpc probe. Until a connection was tried there is no check and no state, as with
// blackbox_exporter.
func (b *builder) addGRPC(result *probe.Result) {
	grpc := result.GRPC
	b.grpc[grpcPhaseCheck].value = (result.Phases.Connect + result.Phases.TLS + result.Phases.Processing).Seconds()
	b.grpc[grpcPhaseResolve].value = result.Phases.Resolve.Seconds()
	shown := b.families[grpcDuration].Metric[:0]
	if grpc.Tried {
		shown = append(shown, &b.grpc[grpcPhaseCheck].metric)
	}
	b.families[grpcDuration].Metric = append(shown, &b.grpc[grpcPhaseResolve].metric)
	b.built = append(b.built, grpcDuration)
	if grpc.Tried {
		for i, state := range servingStates {
			b.serving[i].value = number(grpc.Serving == state)
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
	shown := b.families[websocketDuration].Metric[:0]
	show := func(phase int, there bool, d time.Duration) {
		if there {
			b.websocket[phase].value = d.Seconds()
			shown = append(shown, &b.websocket[phase].metric)
		}
	}
	show(websocketPhaseConnect, socket.Tried, phases.Connect)
	show(websocketPhaseProcessing, socket.Tried, phases.TLS+phases.Processing)
	show(websocketPhaseResolve, result.Resolve != nil, phases.Resolve)
	show(websocketPhaseTransfer, phases.Transfer > 0, phases.Transfer)
	b.families[websocketDuration].Metric = shown
	if len(shown) > 0 {
		b.built = append(b.built, websocketDuration)
	}
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
	b.cert = [...]string{leaf.FingerprintSHA256, leaf.Issuer, leaf.SerialNumber, leaf.Subject, leaf.SubjectAlternative}
	b.add(sslLastChainInfo, 1)
}

func (b *builder) addConnection(result *probe.Result) {
	if result.HTTP != nil && result.TLS.CipherSuite != 0 {
		b.cipher[0] = cipherName(result.TLS.CipherSuite)
		b.add(tlsCipherInfo, 1)
	}
	b.version[0] = tls.VersionName(result.TLS.Version)
	b.add(tlsVersionInfo, 1)
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
	switch addr = addr.Unmap(); {
	case addr.Is4():
		b := addr.As4()
		return fnv1a(b[:]), 4
	case addr.Is6():
		b := addr.As16()
		return fnv1a(b[:]), 6
	default:
		return 0, 0
	}
}

func fnv1a(data []byte) uint32 {
	h := fnv.New32a()
	h.Write(data)
	return h.Sum32()
}
