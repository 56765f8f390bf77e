package badgerstore

import (
	"sync/atomic"

	"github.com/sluice-webhooks/sluice/queue"
)

// work counts what the store does.
type work struct {
	commits, committed, pruned, collected atomic.Uint64
}

// Work implements [queue.Meter].
func (s *Store) Work() queue.Work {
	return queue.Work{
		Commits: s.work.commits.Load(), Committed: s.work.committed.Load(), Pruned: s.work.pruned.Load(), Collected: s.work.collected.Load(),
	}
}

var _ queue.Meter = (*Store)(nil)
