package delivery

import (
	"context"
	"errors"
	"sync"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// maxSettle bounds one commit.
const maxSettle = 512

// settling is an outcome on its way to the store.
type settling struct {
	dispatcher *dispatcher
	event      *queue.Event
	settlement queue.Settlement
}

// settler hands outcomes to the store. What arrives while the store is busy goes into its next commit together, and a lone outcome does not wait. What
// waits is bounded by the dispatchers: they start nothing while too much of theirs is unsettled.
type settler struct {
	engine *Engine
	done   chan struct{} // closed when the loop has ended

	mu      sync.Mutex
	changed *sync.Cond
	waiting []settling
	closing bool

	giveUp context.Context // ends when outcomes need not be stored any more
	abort  context.CancelFunc
}

func newSettler(e *Engine) *settler {
	s := &settler{engine: e, done: make(chan struct{})}
	s.changed = sync.NewCond(&s.mu)
	s.giveUp, s.abort = context.WithCancel(context.Background())
	return s
}

func (s *settler) start() { go s.run() }

// add hands over an outcome. It does not block.
func (s *settler) add(o settling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, o)
	s.changed.Signal()
}

// close waits until everything is stored, or until ctx ends; then it returns its error.
func (s *settler) close(ctx context.Context) error {
	defer s.abort()
	stop := context.AfterFunc(ctx, s.abort)
	defer stop()
	s.mu.Lock()
	s.closing = true
	s.changed.Signal()
	s.mu.Unlock()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) > 0 {
		s.engine.Logger.Warn("outcomes were not stored; their deliveries will be made again", zap.Int("outcomes", len(s.waiting)))
		return errors.Join(ctx.Err(), errUnsettled)
	}
	return nil
}

var errUnsettled = errors.New("outcomes of attempts could not be stored")

// run is the settler's loop. It ends once it is closed and nothing is left, or when it gives up.
func (s *settler) run() {
	defer close(s.done)
	trouble := backoff{}
	for {
		batch := s.next()
		if batch == nil {
			return
		}
		lost, err := s.engine.Store.Settle(s.giveUp, settlements(batch))
		if s.giveUp.Err() == nil {
			s.engine.health.report("settle", err)
		}
		if err == nil {
			trouble.reset()
			s.settled(batch, lost)
			continue
		}
		s.putBack(batch)
		if s.surrender(err) || !s.engine.pauseUntil(s.giveUp, trouble.next()) {
			return
		}
	}
}

// surrender reports whether there is no use in trying again: the store is gone and so is the engine.
func (s *settler) surrender(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing && (errors.Is(err, queue.ErrClosed) || errors.Is(err, queue.ErrFailed))
}

// next waits for outcomes and takes them; nil when it is closed and none are left.
func (s *settler) next() []settling {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting) == 0 && !s.closing {
		s.changed.Wait()
	}
	batch := s.waiting
	if len(batch) > maxSettle {
		batch = batch[:maxSettle:maxSettle]
		s.waiting = s.waiting[maxSettle:]
	} else {
		s.waiting = nil
	}
	return batch
}

// putBack returns a batch that the store did not take, before those that came later.
func (s *settler) putBack(batch []settling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(batch, s.waiting...)
}

func settlements(batch []settling) []queue.Settlement {
	out := make([]queue.Settlement, len(batch))
	for i := range batch {
		out[i] = batch[i].settlement
	}
	return out
}

// settled tells everybody concerned what became of a batch.
func (s *settler) settled(batch []settling, lost []error) {
	for i := range batch {
		o := &batch[i]
		var err error
		if i < len(lost) {
			err = lost[i]
		}
		switch {
		case errors.Is(err, queue.ErrLeaseLost): // replayed, cancelled, or claimed again after a long stop: somebody else has the last word
			s.engine.Logger.Debug("outcome came too late", zap.String("destination", o.dispatcher.name), zap.Stringer("event", o.event.ID))
		case err != nil:
			s.engine.Logger.Error("outcome was refused", zap.String("destination", o.dispatcher.name),
				zap.Stringer("event", o.event.ID), zap.Error(err))
		case o.settlement.State.Settled():
			s.engine.Observer.DeliverySettled(s.report(o))
		}
		o.dispatcher.settled(&o.settlement, err != nil)
	}
}

func (s *settler) report(o *settling) SettledReport {
	a := o.settlement.Attempt
	return SettledReport{
		Destination: o.dispatcher.name, Event: o.event, State: o.settlement.State, Attempts: a.Number,
		LastStatus: a.Status, LastError: a.Class, Age: max(0, s.engine.Clock.Now().Sub(o.event.ReceivedAt)),
	}
}
