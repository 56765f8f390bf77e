package torture

import (
	"testing"
	"time"
)

// TestWear lets processes use a store for a while and end by themselves. It is long use that shows whether what was pruned stays away while
// tables and value log files are rewritten.
func TestWear(t *testing.T) {
	const rounds = 3
	each := time.Duration(fromEnv(t, "SLUICE_TORTURE_SECONDS", 2)) * time.Second / rounds
	m := newModel()
	s := spec{Dir: t.TempDir(), Writers: 6, Largest: 64 << 10}
	for n := range rounds {
		s.Run = n + 1
		w := startWriter(t, &s, m)
		if !w.openFor(each) {
			t.Fatalf("the writer ended by itself: %v\n%s", w.wait(), tail(w.errors.String()))
		}
		if err := w.end(); err != nil {
			t.Fatalf("%v\n%s", err, tail(w.errors.String()))
		}
		r, err := check(t, &s, m, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, what := range append(append(r.Lost, r.Wrong...), m.wrong...) {
			t.Errorf("round %d: %s", n, what)
		}
	}
	acked, _ := m.heard()
	t.Logf("%d events acknowledged in %s, none lost, none wrong", acked, rounds*each)
}
