package memstore

// wakeSize is the number of names that fit the wake channel before it says "any".
const wakeSize = 256

// wake tells the consumer that something may have become due. The caller holds the store's lock, so there is one sender at a time.
func (s *Store) wake(destination string) {
	select {
	case s.wakes <- destination:
		return
	default:
	}
	// Full: one name makes room for "any", which stands for that name and for this one. If the consumer emptied the channel in
	// between, nothing has to make room.
	select {
	case <-s.wakes:
	default:
	}
	s.wakes <- ""
}

// Wake implements [queue.Store]. The channel is never closed.
func (s *Store) Wake() <-chan string { return s.wakes }
