package delivery

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 10 * time.Second
	logEvery   = time.Minute // a store that keeps failing is logged no more often, for each operation
)

// backoff is the time between tries of a store that refuses.
type backoff struct{ last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(minBackoff, 2*b.last), maxBackoff)
	return b.last
}

func (b *backoff) reset() { b.last = 0 }

// pause waits; false means that the engine stops.
func (e *Engine) pause(d time.Duration) bool { return e.pauseUntil(e.stopping, d) }

// pauseUntil waits; false means that ctx has ended.
func (e *Engine) pauseUntil(ctx context.Context, d time.Duration) bool {
	timer := e.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}

// storeHealth makes one note of a store that fails, however many of the engine's goroutines run into it.
type storeHealth struct {
	engine *Engine

	mu      sync.Mutex
	failing map[string]*failing // by operation
}

type failing struct {
	logged time.Time
	silent int // failures since
}

// report notes the outcome of an operation on the store.
func (h *storeHealth) report(operation string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.failing[operation]
	switch {
	case err == nil && f != nil:
		delete(h.failing, operation)
		h.engine.Logger.Info("store works again", zap.String("operation", operation))
		if len(h.failing) == 0 {
			h.engine.Observer.StoreFailing(nil)
		}
	case err != nil:
		now := h.engine.Clock.Now()
		if f == nil {
			f = &failing{}
			if h.failing == nil {
				h.failing = map[string]*failing{}
			}
			h.failing[operation] = f
			if len(h.failing) == 1 {
				h.engine.Observer.StoreFailing(err)
			}
		} else if now.Sub(f.logged) < logEvery {
			f.silent++
			return
		}
		h.engine.Logger.Error("store refuses the delivery engine; trying again",
			zap.String("operation", operation), zap.Int("not_logged", f.silent), zap.Error(err))
		f.logged, f.silent = now, 0
	}
}
