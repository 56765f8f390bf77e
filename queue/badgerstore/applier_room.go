package badgerstore

import (
	"errors"

	"github.com/sluice-webhooks/sluice/queue"
)

// awaitRoom waits while nothing may be written. Whoever waits for the applier is told so and does not wait with it, but for settlements. When the store is being closed it waits no
// longer: what fits is written, in the place of the ballast if need be. An error says that the batch does not fit.
func (a *applier) awaitRoom(batch []*op) error {
	disk := a.s.disk
	for {
		// The disk may have been filled since somebody last looked. If it cannot be asked, whoever watches it says so.
		_ = disk.update()
		if a.s.life.Err() != nil {
			return a.fits(batch)
		}
		moved := disk.changed()
		if !disk.stopped() {
			return nil
		}
		a.turnAway(batch)
		select {
		case <-moved:
		case <-a.wake: // somebody else waits
		case <-a.s.life.Done():
		}
	}
}

// fits makes room for a batch when the store is being closed.
func (a *applier) fits(batch []*op) error {
	need := a.s.disk.toOpen()
	for _, o := range batch {
		need += o.room(&a.s.o)
	}
	if err := a.s.disk.require(need, "writing what waits in memory"); errors.Is(err, queue.ErrFull) {
		return err
	}
	return nil // a disk that cannot be asked has been asked before
}

// turnAway tells those who wait that nothing is written. What they wait for is written when there is room again.
func (a *applier) turnAway(batch []*op) {
	reason := a.s.disk.writable()
	if reason == nil {
		return // there is room since
	}
	tell := func(ops []*op) {
		for _, o := range ops {
			if o.done != nil && !o.patient && !o.told {
				o.told = true
				o.done <- reason
			}
		}
	}
	tell(batch)
	a.mu.Lock()
	defer a.mu.Unlock()
	tell(a.queue)
	a.urgent = false // the next one who waits wakes the applier again
}
