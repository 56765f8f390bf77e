package badgerstore

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// Where segments are small, as on a small disk, so are the groups: also those of events that are nearly all header.
func TestGroupsFitASegment(t *testing.T) {
	s := openSmall(t, t.TempDir(), queuetest.NewClock())
	defer mustClose(t, s)
	var wg sync.WaitGroup
	for w := range 60 {
		wg.Go(func() {
			for i := range 2 {
				n := newEvent(fmt.Sprint(w, "-", i), 10, s.clock(), app)
				n.Header.Set("X-Large", strings.Repeat("h", 100<<10))
				if _, err := s.Enqueue(t.Context(), []queue.NewEvent{n}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
