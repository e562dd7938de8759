// Package history keeps what the configured targets' probes found, so that it survives a restart: every result for as
// long as time and size allow, rollups of 5 minutes, 1 hour and 1 day, and incidents with the evidence of their first
// failing probe.
//
// Store is an observer of the probe.Runner. Observe only queues; one goroutine (Run) does the rest, and writes to
// <directory>/history.db in batches. A full disk, a directory that cannot be written or a damaged file costs history
// and is reported by Status, Stats and the log; it never costs a probe and never fails the start.
//
// Pages read through Source. Store is one; package history/prometheus has another, over the query API of a Prometheus.
//
// # What is counted
//
// A result is up, down or unknown. Unknown is a turn that came to no verdict (ObserveUnknown) or that never came: when
// two results of a target are more than 2.5 intervals apart, each turn between them is unknown. Uptime is up/(up+down),
// so unknown time is neither; its share is reported beside it. A target is unknown as a whole when its last verdict is
// more than 2.5 intervals old. Counts are of probes, as in PromQL's avg_over_time(probe_success[...]).
//
// All times are UTC. Results are stored with the wall clock's time, to the millisecond. A clock that is set back makes
// results overlap and one that is set forward leaves a gap; neither makes a negative span, and none is lost.
//
// # What is kept
//
// Results are in memory and in a journal, which is written every 20 seconds, until they are sealed into blocks, every two
// hours. When a UTC day is over, the results of each target become one block and three rows of rollups; those of 5
// minutes only where they are much shorter than the results, i.e. for intervals of some seconds: for others they are
// made when they are asked for. What is older than RetentionTime is deleted a day at a time, at most a day in ten
// minutes, so that a clock that is wrong for a moment costs little. Over RetentionSize, the oldest single results go
// first, then rollups of 5 minutes and incidents, and hours and days last. The file does not shrink; free pages are used
// again.
//
// The evidence of an incident has what the Record says, and the steps if it carries a Trace. A target that flaps has
// evidence once in 10 minutes.
//
// # Rounding
//
// A duration is kept with an error of at most 0.4 % (exact below 256 µs). Quantiles (median, p95) come from a histogram
// with 32 buckets for each doubling and have an error of at most 1.6 % of the value that has this rank.
package history
