// Package store keeps the history of the configured targets in a file: every result for as long as time and size allow,
// rollups of 5 minutes, 1 hour and 1 day, and incidents with the evidence of their first failing probe.
//
// Store is an observer of the probe.Runner. Observe only queues; an intake goroutine counts, and a disk goroutine writes
// <directory>/history.db. A full disk, a directory that cannot be written or a damaged file costs history and is reported by
// Status, Stats and the log; it never costs a probe and never fails the start.
//
// # From a turn to the disk
//
// A turn goes into a live target in memory, where pages find it at once, and into the journal, of which a row is written
// every 20 seconds. Each target is sealed every two hours, at a time of its own: in one transaction its turns join the block
// of their day, the day's rollups are made anew, and its row says how it is and up to which row of the journal it has
// counted. A start reads the targets' rows and counts what the journal has beyond them.
//
// Targets are sealed in the order of their keys, some hundred in a transaction, so that it writes each page once, and one
// transaction in five seconds, so that 100,000 new targets take no processor from probes. When the turns of all targets take
// too much memory, they are sealed before their time.
//
// Rollups of 5 minutes are kept only where they are much shorter than the results, i.e. for intervals of some seconds; for
// others they are made when they are asked for. What is older than RetentionTime is deleted a day at a time, at most a day
// in ten minutes, so that a clock that is wrong for a moment costs little. Over RetentionSize, the oldest single results go
// first, then rollups of 5 minutes and incidents, and hours and days last. The file does not shrink; free pages are used
// again.
//
// Results are stored with the wall clock's time, to the millisecond. A clock that is set back makes results overlap and one
// that is set forward leaves a gap; neither makes a negative span, and none is lost.
package store
