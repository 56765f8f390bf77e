package main

import (
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// watcher looks at a counter and at this process's memory while something runs.
type watcher struct {
	quit  chan struct{}
	wg    sync.WaitGroup
	worst float64
	most  float64
}

const (
	watchWindow = 4 * time.Second
	watchStep   = 100 * time.Millisecond
)

// watch begins to look. The worst window is the whole time if that is shorter than a window.
func watch(counter *atomic.Int64, d time.Duration) *watcher {
	w := &watcher{quit: make(chan struct{})}
	window := min(watchWindow, d)
	w.wg.Go(func() {
		tick := time.NewTicker(watchStep)
		defer tick.Stop()
		from, seen := time.Now(), counter.Load()
		for {
			select {
			case <-tick.C:
			case <-w.quit:
				return
			}
			if mib, ok := anonymous(os.Getpid()); ok {
				w.most = max(w.most, mib)
			}
			if now := time.Now(); now.Sub(from) >= window {
				n := counter.Load()
				if rate := float64(n-seen) / now.Sub(from).Seconds(); w.worst == 0 || rate < w.worst {
					w.worst = rate
				}
				from, seen = now, n
			}
		}
	})
	return w
}

// end returns the least rate of a window and the most memory in MiB.
func (w *watcher) end() (worst, most float64) {
	close(w.quit)
	w.wg.Wait()
	return w.worst, w.most
}
