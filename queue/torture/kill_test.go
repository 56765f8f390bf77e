package torture

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Of the cycles of the kill test, each one of so many
const (
	finishEvery = 3  // settles everything that is left
	freshEvery  = 40 // starts with a new store
)

// TestKill kills a process that uses a store, again and again, and compares what is there with what was promised.
func TestKill(t *testing.T) {
	for _, c := range []struct {
		name   string
		key    []byte
		cycles int
	}{
		{"Plain", nil, fromEnv(t, "SLUICE_TORTURE_CYCLES", 3)},
		{"Encrypted", []byte("0123456789abcdef0123456789abcdef"), (fromEnv(t, "SLUICE_TORTURE_CYCLES", 3) + 3) / 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &killer{t: t, model: newModel(), spec: spec{Dir: t.TempDir(), Writers: 6, Key: c.key, Largest: 64 << 10}}
			for n := range c.cycles {
				if testing.Short() && n > 0 {
					break
				}
				if n%freshEvery == freshEvery-1 {
					k.spec.Dir = t.TempDir()
					k.model.forget()
				}
				k.cycle(n)
			}
			k.sum()
		})
	}
}

// forget expects an empty store.
func (m *model) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Events, m.Meta, m.Finished, m.frozen = map[string]*promised{}, map[string]uint64{}, 0, false
}

// killer runs the cycles.
type killer struct {
	t     *testing.T
	spec  spec
	model *model

	cycles, opening int // opening: killed before the store was open
	unheard         int
	found           int
	slowest         time.Duration // to open
}

func (k *killer) cycle(n int) {
	t := k.t
	k.spec.Run++
	s := k.spec
	c := startWriter(t, &s, k.model)
	if n%4 == 3 {
		// While it opens, which replays the journal of the one before, or soon after.
		c.runFor(time.Duration(rand.IntN(80)) * time.Millisecond)
	} else if !c.openFor(50*time.Millisecond + time.Duration(rand.IntN(900))*time.Millisecond) {
		t.Fatalf("cycle %d: the writer ended by itself: %v\n%s", n, c.wait(), tail(c.errors.String()))
	}
	c.kill(t)
	k.cycles++
	select {
	case <-c.opened:
	default:
		k.opening++
		if n%8 == 7 {
			return // and the next one opens what two have left
		}
	}
	k.check(n, &s)
}

func (k *killer) check(n int, s *spec) {
	t := k.t
	r, err := check(t, s, k.model, n%finishEvery == finishEvery-1)
	if err != nil {
		t.Fatalf("cycle %d: %v", n, err)
	}
	for _, what := range append(append(r.Lost, r.Wrong...), k.model.wrong...) {
		t.Errorf("cycle %d: %s", n, what)
	}
	if t.Failed() {
		t.FailNow()
	}
	k.unheard += r.Unheard
	k.found += r.Events
	k.slowest = max(k.slowest, r.Opening)
}

func (k *killer) sum() {
	k.t.Logf("%d kills (%d before the store was open): %d events acknowledged and %d steps of deliveries promised, none lost, none wrong; "+
		"%d events read; %d stored and not acknowledged; slowest open %s",
		k.cycles, k.opening, k.model.acked, k.model.settled, k.found, k.unheard, k.slowest)
	if k.model.acked == 0 || k.model.settled == 0 {
		k.t.Error("nothing was promised, so nothing was proven")
	}
}
