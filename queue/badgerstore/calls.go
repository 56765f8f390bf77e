package badgerstore

import (
	"context"
	"sync"

	"github.com/sluice-webhooks/sluice/queue"
)

// calls are those under way. The store's files are closed under none of them: what Badger, its snapshots and the applier do after their end is to hang or to panic.
type calls struct {
	mu    sync.Mutex
	n     int
	over  bool
	ended chan struct{} // closed when over is set and the last one has left
}

// enter begins a call; leave ends it. Errors: those of usable.
func (s *Store) enter() error {
	if err := s.usable(); err != nil {
		return err
	}
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	if s.calls.over {
		return queue.ErrClosed
	}
	s.calls.n++
	return nil
}

func (s *Store) leave() {
	c := &s.calls
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	if c.over && c.n == 0 {
		close(c.ended)
	}
}

// end lets no call begin any more, and waits for those that are under way.
func (c *calls) end() {
	c.mu.Lock()
	c.over = true
	if c.n == 0 {
		close(c.ended)
	}
	c.mu.Unlock()
	<-c.ended
}

// whileOpen is a context that also ends when the store is about to be closed, for calls that take long.
func (s *Store) whileOpen(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.life, func() { cancel(queue.ErrClosed) })
	return ctx, func() { stop(); cancel(nil) }
}
