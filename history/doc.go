// Package history is what was, as pages read it: the results of the configured targets, series of them, and incidents with the
// evidence of their first failing probe. It is the contract: package store keeps history in a file and package prometheus
// reads it from a server; each is a Source.
//
// # What is counted
//
// A result is up, down or unknown. Unknown is a turn that came to no verdict (the exporter's own error, or a refused target)
// or that never came: when two results of a target are more than 2.5 intervals apart, each turn between them is unknown.
// Uptime is up/(up+down), so unknown time is neither; its share is reported beside it. A target is unknown as a whole when
// its last verdict is more than 2.5 intervals old. Counts are of probes, as in PromQL's avg_over_time(probe_success[...]).
//
// All times are UTC.
package history
