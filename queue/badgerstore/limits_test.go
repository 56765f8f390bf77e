package badgerstore

import (
	"errors"
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
)

func TestLimitsChangeWhileOpen(t *testing.T) {
	m := newMixed(t, nil)
	m.enqueue(30)
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
	m.s.disk.used.Store(dirSize(m.dir))
	for _, l := range []Limits{{MinFree: 2 * free}, {MaxSize: 1}, {MaxPending: 10}} {
		if fits(l) {
			t.Errorf("accepted with %+v", l)
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
