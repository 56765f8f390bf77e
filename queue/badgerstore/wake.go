package badgerstore

import "sync"

// wakeSize is the number of names that fit the wake channel before it says "any".
const wakeSize = 256

type wakes struct {
	mu sync.Mutex
	ch chan string
}

// send says that deliveries may have become due for a destination. It does not block.
func (w *wakes) send(destination string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case w.ch <- destination:
		return
	default:
	}
	// One name makes room for "any", which stands for it too. There is no other sender, so the room stays.
	select {
	case <-w.ch:
	default:
	}
	w.ch <- ""
}

// Wake implements [queue.Store]. The channel is never closed.
func (s *Store) Wake() <-chan string { return s.wakes.ch }
