package badgerstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

func TestLimitsChangeWhileOpen(t *testing.T) {
	m := newMixed(t, nil)
	m.enqueue(30)
	known := newEvent("known", 10, m.clock.Now(), app)
	if _, err := m.s.Enqueue(t.Context(), []queue.NewEvent{known}); err != nil {
		t.Fatal(err)
	}
	fits := func(l Limits) bool {
		t.Helper()
		if err := m.s.SetLimits(l); err != nil {
			t.Fatal(err)
		}
		_, err := m.s.Enqueue(t.Context(), []queue.NewEvent{m.event()})
		if err != nil && !errors.Is(err, queue.ErrFull) {
			t.Fatal(err)
		}
		return err == nil
	}
	free, _, err := diskSpace(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	least := m.s.o.leastSize()
	m.s.disk.used.Store(least)
	for _, l := range []Limits{{MinFree: 2 * free}, {MaxSize: least}, {MaxPending: 10}} {
		if fits(l) {
			t.Errorf("accepted with %+v", l)
		}
		if receipts, err := m.s.Enqueue(t.Context(), []queue.NewEvent{known, known}); err != nil || !receipts[0].Duplicate || !receipts[1].Duplicate {
			t.Errorf("duplicates with %+v: %+v, %v", l, receipts, err)
		}
		fresh := m.event()
		for range 2 { // the first one's claim must not outlive its refusal
			if _, err := m.s.Enqueue(t.Context(), []queue.NewEvent{known, fresh}); !errors.Is(err, queue.ErrFull) {
				t.Errorf("a new event among duplicates with %+v: %v", l, err)
			}
		}
		if !fits(Limits{}) {
			t.Errorf("refused after %+v was taken back", l)
		}
	}
	m.close()
	if err := m.s.SetLimits(Limits{}); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// TestLeastSize refuses a limit that the store's files need for themselves, and has one that is just enough work again and again.
func TestLeastSize(t *testing.T) {
	t.Parallel()
	m := newMixed(t, nil)
	least := m.s.o.leastSize()
	if err := m.s.SetLimits(Limits{MaxSize: least - 1}); err == nil || !strings.Contains(err.Error(), "too low: its files take up to ") {
		t.Errorf("while it is open: %v", err)
	}
	m.close()
	m.o.MaxSize = least - 1
	if s, err := Open(m.dir, m.o); err == nil || !strings.Contains(err.Error(), "too low") {
		t.Errorf("opened with too little: %v, %v", s, err)
	}
	m.o.MaxSize = least
	m.open()
	for stored, refused := 0, 0; stored < 2000; {
		_, err := m.s.Enqueue(t.Context(), []queue.NewEvent{newEvent(fmt.Sprint("e", stored), 40<<10, m.clock.Now(), app)})
		if err == nil {
			stored++
			if stored%50 != 0 {
				continue
			}
			refused = 0
		} else if refused++; !errors.Is(err, queue.ErrFull) || refused > 10 {
			t.Fatalf("after %d events that were delivered and pruned: %v", stored, err)
		}
		settleAll(t, m.s, queue.StateDelivered)
		m.clock.Advance(time.Second)
		maintain(t, m.s, queue.Retention{Delivered: 1, Dead: 1})
		m.s.disk.used.Store(dirSize(m.dir))
	}
}
