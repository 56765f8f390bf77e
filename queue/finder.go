package queue

import "context"

// Finder is a store that finds events by their dedup claims, without a search.
type Finder interface {
	// Original returns the event that holds, or held last, the claim of a dedup key of a source. It is known for as long as claims are kept, somewhat longer than their
	// window, if the event is still there; ErrNotFound.
	Original(ctx context.Context, source, dedupKey string) (ID, error)
}
