package queue

// Meter is a store that counts its own work, for metrics. The counters start at zero when the store is opened.
type Meter interface {
	Work() Work
}

// Work is what a store has done since it was opened.
type Work struct {
	Commits   uint64 // synced groups of enqueued events
	Committed uint64 // events in them: divided by Commits, the size of a group
	Pruned    uint64 // events removed by retention
	Collected uint64 // times space of removed events was given back to the disk
}
